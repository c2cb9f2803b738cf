// Before anything is drawn: dark or light, as last chosen here, else as the system has it.
document.documentElement.dataset.theme =
  localStorage.getItem("theme") ?? (matchMedia("(prefers-color-scheme: light)").matches ? "light" : "dark");
