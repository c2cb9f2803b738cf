"""Runs of image models: samples, losses, measures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agents.reports import pictures, plots
from agents.reports.curves import curves
from agents.reports.markup import Content, Markup, figure, missing, table, tag
from agents.reports.reading import RunFacts, number, within
from rollouts.console import command
from rollouts.errors import UserError
from worldmodels.generative.measures.explain import EXPLAINED

MOST_FILES = 8  #: pictures of a run that are taken over beside its samples
