"use strict";
(() => {
  const at = (id) => document.getElementById(id);
  const all = (selector, within) => Array.from((within || document).querySelectorAll(selector));
  const { techniques, steps } = JSON.parse(at("walks-data").textContent);
  const boxes = all("input[name=switch]");
  const choices = all("input[name=technique]");
  const PACE = 1100; // milliseconds that a step is shown for while playing
  let walk = 0;
  let step = 0;
  let timer = 0;

  const section = () => at(`walk-${walk}`);
  const last = () => steps[walk].length;

  /** Shows the walk that is chosen, before its first step. */
  function choose() {
    const technique = techniques[choices.findIndex((each) => each.checked)];
    let mask = 0;
    boxes.forEach((box, place) => {
      box.disabled = !technique.matter[place];
      box.title = box.disabled ? "changes nothing for this technique" : "";
      if (box.checked) mask |= 1 << place;
    });
    walk = technique.walks[mask];
    all(".walk").forEach((each) => { each.hidden = each !== section(); });
    go(0);
  }

  /** Shows a step; 0: none has been made. */
  function go(to) {
    step = Math.max(0, Math.min(last(), to));
    all("[data-step]", section()).forEach((each) => {
      const when = Number(each.dataset.step);
      const end = step === last() && when === last() + 1;
      each.classList.toggle("todo", when > step && !end);
      each.classList.toggle("now", when === step && step > 0);
    });
    const here = step ? steps[walk][step - 1] : null;
    all(".address [data-level]").forEach((each) => {
      each.classList.toggle("used", Boolean(here) && Number(each.dataset.level) === here.level);
    });
    at("count").textContent = `step ${step} of ${last()}`;
    at("says").textContent = here ? here.says : last()
      ? "Next makes the first reference of the walk." : "There is nothing to step through.";
    at("back").disabled = at("reset").disabled = step === 0;
    at("next").disabled = at("play").disabled = step === last();
    if (step === last()) pause();
    decode(here ? here.entries : []);
    show();
  }

  /** The entries of this step, bit by bit. */
  function decode(entries) {
    at("entry").replaceChildren(...entries.map(
      (number) => at(`entry-${number}`).content.cloneNode(true)));
    const stage = section().querySelector(".stage");
    if (stage) stage.append(at("decoded"));
    at("decoded").hidden = !entries.length;
  }

  /** Scrolls the grid, where it is wider than the screen, to the cell of this step. */
  function show() {
    const cell = section().querySelector("g.now");
    const view = cell && cell.closest(".scrolled");
    if (!view || view.scrollWidth <= view.clientWidth) return;
    const box = cell.getBoundingClientRect();
    const frame = view.getBoundingClientRect();
    view.scrollLeft += box.left + box.width / 2 - frame.left - frame.width / 2;
  }

  function pause() {
    clearInterval(timer);
    timer = 0;
    at("play").textContent = "Play";
  }

  function play() {
    if (timer) { pause(); return; }
    if (step === last()) return;
    at("play").textContent = "Pause";
    timer = setInterval(() => go(step + 1), PACE);
    go(step + 1);
  }

  const does = {
    next: () => { pause(); go(step + 1); },
    back: () => { pause(); go(step - 1); },
    reset: () => { pause(); go(0); },
    play,
  };
  Object.keys(does).forEach((name) => at(name).addEventListener("click", does[name]));
  const keys = { ArrowRight: "next", ArrowLeft: "back", r: "reset", R: "reset", p: "play", P: "play" };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || !keys[event.key]) return;
    const arrow = event.key.startsWith("Arrow");
    if (arrow && event.target.closest("input[type=radio], .scrolled")) return;
    event.preventDefault();
    does[keys[event.key]]();
  });
  document.addEventListener("click", (event) => {
    const chosen = event.target.closest(".walk [data-step]");
    if (chosen && chosen.tagName !== "path") { pause(); go(Number(chosen.dataset.step)); }
  });
  [...boxes, ...choices].forEach((input) => input.addEventListener("change", () => { pause(); choose(); }));

  document.body.classList.add("stepped");
  at("controls").hidden = false;
  choose();
})();
