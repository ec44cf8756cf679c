"use strict";
(() => {
  const told = document.createElement("div");
  told.id = "told";
  told.hidden = true;
  told.setAttribute("aria-hidden", "true"); // what it says is the name of what is pointed at
  document.body.append(told);

  let pointed = null;

  function tell(mark) {
    pointed = mark;
    told.textContent = mark.getAttribute("aria-label");
    told.hidden = false;
    const at = mark.getBoundingClientRect();
    const wide = told.offsetWidth;
    const left = Math.min(innerWidth - wide - 8, Math.max(8, at.left + at.width / 2 - wide / 2));
    const above = at.top - told.offsetHeight - 8;
    told.style.left = `${left}px`;
    told.style.top = `${above > 0 ? above : at.bottom + 8}px`;
  }
  const hush = () => { told.hidden = true; pointed = null; };

  document.querySelectorAll("svg.figure").forEach((figure) => {
    const marks = Array.from(figure.querySelectorAll(".value"));
    marks.forEach((mark, place) => {
      const title = mark.querySelector("title");
      mark.setAttribute("aria-label", title.textContent);
      title.remove(); // or the browser would say it once more
      mark.tabIndex = place ? -1 : 0;
      mark.addEventListener("pointerenter", () => tell(mark));
      mark.addEventListener("pointerleave", hush);
      mark.addEventListener("focus", () => tell(mark));
      mark.addEventListener("blur", hush);
    });
    figure.addEventListener("keydown", (event) => {
      const place = marks.indexOf(event.target);
      const steps = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 };
      const to = { Home: 0, End: marks.length - 1 }[event.key] ?? place + (steps[event.key] || 0);
      if (event.key === "Escape") hush();
      if (place < 0 || to === place || !marks[to]) return;
      event.preventDefault();
      marks[place].tabIndex = -1;
      marks[to].tabIndex = 0;
      marks[to].focus();
    });
    const hint = figure.closest("figure").querySelector(".hint");
    if (marks.length && hint) hint.hidden = false;
  });
  const follow = () => { if (pointed) tell(pointed); };
  document.addEventListener("scroll", follow, { passive: true, capture: true });
})();
