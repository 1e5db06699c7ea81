// Dark or light as somebody has chosen; a script of its own, so that nothing is painted before it.
(() => {
  try {
    const chosen = window.localStorage.getItem("amqpd.appearance");
    if (chosen === "dark" || chosen === "light") document.documentElement.dataset.theme = chosen;
  } catch { /* no storage: as the system has it */ }
})();
