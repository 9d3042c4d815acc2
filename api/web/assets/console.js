// Live updates: asks for the page's changing part every two seconds and puts
// it in place when it changed. Without this script a reload does the same.
const every = 2000;
const live = document.querySelector("#live[data-live]");

if (live) {
  let paused = false;
  let tag = null;

  const box = document.querySelector("[data-updates]");
  const state = box.querySelector("[data-state]");
  const button = box.querySelector("[data-pause]");

  const show = (words) => {
    box.hidden = false;
    box.toggleAttribute("data-paused", paused);
    state.textContent = words ?? (paused ? "Paused" : "Live");
    button.textContent = paused ? "Resume" : "Pause";
  };

  // What the reader opened, and where the focus was, stays as it was.
  const replace = (html) => {
    const open = [...live.querySelectorAll("details[open]")].map((d) => d.id);
    const focused = live.contains(document.activeElement) ? document.activeElement : null;
    const holder = focused?.closest("details");
    const page = new DOMParser().parseFromString(html, "text/html");
    live.replaceChildren(...page.body.childNodes);
    for (const id of open) {
      const details = document.getElementById(id);
      if (details) details.open = true;
    }
    let next = null;
    if (focused?.id) next = document.getElementById(focused.id);
    else if (holder) next = document.getElementById(holder.id)?.querySelector("summary");
    next?.focus({ preventScroll: true });
  };

  const selecting = () => {
    const selection = document.getSelection();
    return selection && !selection.isCollapsed && live.contains(selection.anchorNode);
  };

  const ask = async () => {
    if (paused || document.hidden || selecting()) return;
    try {
      const answer = await fetch(live.dataset.live, {
        headers: tag ? { "If-None-Match": tag } : {},
        credentials: "same-origin",
        cache: "no-store",
        redirect: "error",
      });
      if (answer.status === 401) {
        paused = true;
        show("Logged out: reload the page");
        return;
      }
      if (answer.status !== 200) return; // unchanged, or the server could not be reached: the next round asks again
      const html = await answer.text();
      if (paused) return;
      tag = answer.headers.get("ETag");
      replace(html);
    } catch {
      // Out of reach: the next round tries again.
    }
  };

  button.addEventListener("click", () => {
    paused = !paused;
    show();
    if (!paused) ask();
  });
  document.addEventListener("visibilitychange", ask);
  show();

  const round = async () => {
    await ask();
    setTimeout(round, every);
  };
  setTimeout(round, every);
}
