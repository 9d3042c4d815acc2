// Live updates: asks for the page's changing part every two seconds and puts
// it in place when it changed. Without this script a reload does the same.
const every = 2000;
const live = document.querySelector("#live[data-live]");

if (live) {
  let paused = false;
  let tag = null;

  const show = () => {
    const box = live.querySelector("[data-updates]");
    if (!box) return;
    box.hidden = false;
    box.querySelector("[data-state]").textContent = paused ? "Paused" : "Live";
    box.querySelector("[data-pause]").textContent = paused ? "Resume" : "Pause";
  };

  const stop = (why) => {
    paused = true;
    show();
    const state = live.querySelector("[data-state]");
    if (state) state.textContent = why;
  };

  // What the reader opened, and where the focus was, stays as it was.
  const replace = (html) => {
    const open = [...live.querySelectorAll("details[open]")].map((d) => d.id);
    const focused = document.activeElement;
    const inside = focused && live.contains(focused);
    const holder = inside && !focused.id ? focused.closest("details") : null;
    const pausing = inside && focused.matches("[data-pause]");
    const page = new DOMParser().parseFromString(html, "text/html");
    live.replaceChildren(...page.body.childNodes);
    for (const id of open) {
      const details = document.getElementById(id);
      if (details) details.open = true;
    }
    show();
    let next = null;
    if (pausing) next = live.querySelector("[data-pause]");
    else if (holder) next = document.getElementById(holder.id)?.querySelector("summary");
    else if (inside && focused.id) next = document.getElementById(focused.id);
    if (next) next.focus({ preventScroll: true });
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
        stop("Logged out: reload the page");
        return;
      }
      if (answer.status !== 200) return; // unchanged, or out of reach for now
      const html = await answer.text();
      if (paused) return;
      tag = answer.headers.get("ETag");
      replace(html);
    } catch {
      // Out of reach: the next round tries again.
    }
  };

  live.addEventListener("click", (e) => {
    if (!e.target.closest("[data-pause]")) return;
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
