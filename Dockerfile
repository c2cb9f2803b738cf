# The README's two commands on a machine that has Docker alone:
#
#   docker build -t worldmodels .                                             # set up
#   docker run --rm -v "$PWD/runs:/worldmodels/runs" worldmodels              # make quickstart
#   docker run --rm -p 127.0.0.1:8400:8400 worldmodels .venv/bin/worldmodels play --host 0.0.0.0
#   docker build -t worldmodels-test --target test . && docker run --rm worldmodels-test      # make test
#
# pip takes PyTorch's large CUDA build; with --build-arg PIP_EXTRA_INDEX_URL=... and the index that PyTorch's installation
# page names for the CPU, it takes the small one.
FROM python:3.12-slim AS base

RUN apt-get update \
    && apt-get install -y --no-install-recommends make=4.* git=1:2.* \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 1000 worldmodels \
    && install -d -o worldmodels /worldmodels /worldmodels/runs

ENV SDL_VIDEODRIVER=dummy PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1
WORKDIR /worldmodels
USER 1000

COPY --chown=1000 . .
ARG PIP_EXTRA_INDEX_URL=
RUN make setup

FROM base AS test
ARG PIP_EXTRA_INDEX_URL=
RUN make .venv/.ready-dev
CMD ["make", "test"]

FROM base AS quickstart
VOLUME /worldmodels/runs
EXPOSE 8400
CMD ["make", "quickstart"]
