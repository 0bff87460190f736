"use strict";
(() => {
  const SVG = "http://www.w3.org/2000/svg";
  const $ = (id) => document.getElementById(id);
  const data = JSON.parse($("data").textContent);
  const root = document.documentElement;

  // ---- light and dark -------------------------------------------------------------------------------------------
  const theme = $("theme");
  const prefersDark = window.matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (root.dataset.theme === "auto" ? prefersDark.matches : root.dataset.theme === "dark");
  const nameTheme = () => { theme.textContent = isDark() ? "Light page" : "Dark page"; };
  try { root.dataset.theme = localStorage.getItem("hoiray-theme") || "auto"; } catch { /* no storage: the choice lasts for this visit */ }
  theme.addEventListener("click", () => {
    const wanted = isDark() ? "light" : "dark";
    // whoever turns back to what the system prefers follows the system again
    root.dataset.theme = (wanted === "dark") === prefersDark.matches ? "auto" : wanted;
    try { localStorage.setItem("hoiray-theme", root.dataset.theme); } catch { /* as above */ }
    nameTheme();
  });
  prefersDark.addEventListener("change", nameTheme);
  nameTheme();
  theme.hidden = false;

  // ---- small tools ----------------------------------------------------------------------------------------------
  // names come from outside: they are only ever set as text, never as markup
  const make = (tag, attributes = {}, ...children) => {
    const node = document.createElement(tag);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    node.append(...children);
    return node;
  };
  const draw = (tag, attributes, text) => {
    const node = document.createElementNS(SVG, tag);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    if (text !== undefined) node.textContent = text;
    return node;
  };
  const number = (value, measure) =>
    value === null ? "not measured" : `${value.toFixed(measure.decimals).replace("-", "\u2212")}${measure.unit}`;
  // beyond its limit, and refused for it: a limit on motion is wider over a gap of frames
  const fails = (value, measure, reasons) => {
    if (measure.limit === null || value === null || !reasons.includes(measure.reason)) return false;
    if (measure.bound === "min") return value < measure.limit;
    return measure.bound === "below" ? value >= measure.limit : value > measure.limit;
  };
  const limitWords = (measure) => measure.limitText;

  // ---- gallery --------------------------------------------------------------------------------------------------
  const gallery = $("gallery");
  const cards = gallery ? [...gallery.children] : [];
  let showOverTime = () => {};

  const filterCards = () => {
    const verdict = $("by-verdict").value;
    const reason = $("by-reason").value;
    const video = $("by-video").value;
    const confidence = Number($("by-confidence").value);
    let count = 0;
    for (const card of cards) {
      const is = card.dataset;
      const fits = (!verdict || is.verdict === verdict)
        && (!reason || is.reasons.split(" ").includes(reason))
        && (!video || is.video === video)
        && (confidence === 0 || (is.confidence !== "" && Number(is.confidence) >= confidence));
      card.hidden = !fits;
      count += fits ? 1 : 0;
    }
    $("num-shown").textContent = count === cards.length ? `${count} pictures` : `${count} of ${cards.length} pictures`;
  };
  const showMesh = () => {
    const wanted = $("with-mesh").checked;
    for (const image of gallery.querySelectorAll("img")) image.hidden = image.classList.contains("mesh") !== wanted;
  };

  const detail = $("detail");
  let current = -1;
  // the same place with and without the mesh: the eye sees at once what the mesh misses
  const showPicture = (withMesh) => {
    const source = cards[current].querySelector(withMesh ? "img.mesh" : "img.bare");
    $("detail-figure").hidden = source === null;
    if (source === null) return;
    $("detail-picture").src = source.src;
    $("detail-picture").alt = source.alt;
    $("detail-swap").textContent = withMesh ? "Hide the mesh" : "Show the mesh";
    $("detail-swap").dataset.mesh = withMesh ? "1" : "";
  };
  const openDetail = (index) => {
    current = index;
    const label = data.labels[index];
    const card = cards[index];
    const words = card.querySelector(".where").textContent;
    $("detail-title").textContent = `${label.accepted ? "✓ accepted" : "✗ refused"}: ${words}`;
    showPicture(true);
    $("detail-words").textContent = label.words;
    $("detail-rows").replaceChildren(...data.measures.map((measure, place) => {
      const value = label.values[place];
      const verdict = measure.limit === null ? "" : value === null ? "–" : fails(value, measure, label.reasons) ? "✗ no" : "✓ yes";
      const cell = make("td", { class: verdict.startsWith("✗") ? "fail" : verdict.startsWith("✓") ? "pass" : "" }, verdict);
      return make("tr", {}, make("th", { scope: "row" }, measure.title), make("td", { class: "num" }, number(value, measure)),
        make("td", { class: "num" }, limitWords(measure)), cell);
    }));
    $("detail-time").hidden = data.videos.length === 0;
    if (!detail.open) detail.showModal();
  };
  const step = (by) => {
    const visible = cards.filter((card) => !card.hidden).map((card) => Number(card.dataset.label));
    const place = visible.indexOf(current) + by;
    if (place >= 0 && place < visible.length) openDetail(visible[place]);
  };
  if (gallery) {
    $("filters").hidden = false;
    for (const id of ["by-verdict", "by-reason", "by-video"]) $(id).addEventListener("change", filterCards);
    $("by-confidence").addEventListener("input", () => {
      $("confidence-shown").textContent = Number($("by-confidence").value).toFixed(2);
      filterCards();
    });
    $("with-mesh").addEventListener("change", showMesh);
    $("filters").addEventListener("submit", (event) => event.preventDefault());
    $("show-all").addEventListener("click", () => {
      $("filters").reset();
      if ($("confidence-shown")) $("confidence-shown").textContent = "0.00";
      filterCards();
      showMesh();
    });
    cards.forEach((card, index) => card.querySelector(".picture").addEventListener("click", () => openDetail(index)));
    $("detail-swap").addEventListener("click", () => showPicture(!$("detail-swap").dataset.mesh));
    $("detail-close").addEventListener("click", () => detail.close());
    $("detail-before").addEventListener("click", () => step(-1));
    $("detail-after").addEventListener("click", () => step(1));
    $("detail-time").addEventListener("click", () => {
      const label = data.labels[current];
      current = -1; // the focus goes to the time line, not back to the picture
      detail.close();
      showOverTime(label);
    });
    detail.addEventListener("click", (event) => { if (event.target === detail) detail.close(); });
    detail.addEventListener("keydown", (event) => {
      if (event.key === "ArrowLeft") step(-1);
      if (event.key === "ArrowRight") step(1);
    });
    detail.addEventListener("close", () => { if (current >= 0) cards[current].querySelector(".picture").focus(); });
  }

  // ---- time lines -----------------------------------------------------------------------------------------------
  if (!$("timeline") || data.videos.length === 0) return;
  const videoChoice = $("timeline-video");
  const trackChoice = $("timeline-track");
  const slider = $("timeline-slider");
  const charts = $("timeline-charts");
  const drawn = data.drawn.map((place) => data.measures[place]);
  const PAD = 8;
  let cursors = [];
  let scaleX = () => 0;

  const video = () => data.videos[Number(videoChoice.value)];
  const track = () => video().tracks[Number(trackChoice.value)];
  const span = () => [track().frames[0], track().frames[track().frames.length - 1]];

  const chartHead = (title, words) => make("div", { class: "chart-head" }, make("b", {}, title), make("span", { class: "muted" }, words));

  const chart = (title, words, height, width, label) => {
    const svg = draw("svg", { height, viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label });
    svg.append(draw("rect", { class: "plot-bg", x: 0, y: 0, width, height, rx: 4 }));
    const line = draw("line", { class: "cursor", y1: 0, y2: height });
    const follow = (event) => {
      const [first, last] = span();
      const box = svg.getBoundingClientRect();
      const share = ((event.clientX - box.left) / box.width * width - PAD) / (width - 2 * PAD);
      moveTo(Math.round(first + share * (last - first)));
    };
    svg.addEventListener("pointerdown", follow);
    svg.addEventListener("pointermove", (event) => { if (event.buttons || event.pointerType === "mouse") follow(event); });
    charts.append(make("div", { class: "chart" }, chartHead(title, words), svg));
    return { svg, finish: () => { svg.append(line); cursors.push(line); } };
  };

  const drawVerdicts = (width) => {
    const one = track();
    const [first, last] = span();
    const good = one.accepted.filter(Boolean).length;
    const { svg, finish } = chart("Verdict", `${good} of ${one.frames.length} frames accepted; tall: accepted, low: refused`, 26, width, `Verdict of each frame: ${good} of ${one.frames.length} accepted`);
    const step = (width - 2 * PAD) / Math.max(1, last - first);
    one.frames.forEach((frame, index) => {
      const ok = one.accepted[index];
      const x = Math.max(0, scaleX(frame) - step / 2);
      svg.append(draw("rect", { class: ok ? "band-good" : "band-bad", x, y: ok ? 2 : 14, width: Math.max(1.2, Math.min(step, 40) - 0.8), height: ok ? 22 : 10 }));
    });
    finish();
  };

  const drawMeasure = (measure, place, width) => {
    const one = track();
    const height = 74;
    const values = one.values[place];
    const known = values.filter((value) => value !== null);
    if (known.length === 0 && measure.limit === null) return;
    const ordered = [...known].sort((a, b) => a - b);
    const upper = ordered.length ? ordered[Math.floor(0.95 * (ordered.length - 1))] : 0;
    const isMin = measure.bound === "min";
    const top = Math.max(measure.limit === null ? 0 : measure.limit * (isMin ? 1.3 : 2.2), isMin ? ordered[ordered.length - 1] || 0 : upper * 1.05) || 1;
    const y = (value) => height - 6 - (height - 12) * Math.min(1, Math.max(0, value / top));
    const bad = values.filter((value, index) => fails(value, measure, one.reasons[index])).length;
    const said = measure.limit === null ? "not judged" : `limit: ${limitWords(measure)}; ${bad} ${bad === 1 ? "frame fails" : "frames fail"}`;
    const { svg, finish } = chart(measure.title, said, height, width, `${measure.title} over the frames, ${said}`);
    if (measure.limit !== null) svg.append(draw("line", { class: "limit", x1: 0, x2: width, y1: y(measure.limit), y2: y(measure.limit) }));
    let path = "";
    let before = null;
    one.frames.forEach((frame, index) => {
      const value = values[index];
      if (value === null) { before = null; return; }
      path += `${before !== null && frame - before === 1 ? "L" : "M"}${scaleX(frame).toFixed(1)} ${y(value).toFixed(1)}`;
      before = frame;
    });
    svg.append(draw("path", { class: "curve", d: path }));
    const radius = one.frames.length > 150 ? 1.6 : 2.8;
    one.frames.forEach((frame, index) => {
      const value = values[index];
      const x = scaleX(frame);
      if (value === null) svg.append(draw("line", { class: "unknown", x1: x, x2: x, y1: height - 5, y2: height }));
      else if (fails(value, measure, one.reasons[index])) {
        // beyond the limit: a triangle at the edge where it is beyond the drawing, else a larger dot
        if (value > top) svg.append(draw("path", { class: "beyond", d: `M${x - 4} 9L${x + 4} 9L${x} 1Z` }));
        else svg.append(draw("circle", { class: "beyond", cx: x, cy: y(value), r: radius + 1 }));
      } else svg.append(draw("circle", { class: "point", cx: x, cy: y(value), r: radius * 0.8 }));
    });
    finish();
  };

  const drawCharts = () => {
    const width = Math.max(280, Math.round(charts.clientWidth));
    const [first, last] = span();
    scaleX = (frame) => PAD + (width - 2 * PAD) * (last === first ? 0.5 : (frame - first) / (last - first));
    charts.replaceChildren();
    cursors = [];
    drawVerdicts(width);
    drawn.forEach((measure, place) => drawMeasure(measure, place, width));
    moveTo(Number(slider.value));
  };

  const moveTo = (wanted) => {
    const one = track();
    const frame = one.frames.reduce((best, it) => (Math.abs(it - wanted) < Math.abs(best - wanted) ? it : best), one.frames[0]);
    const index = one.frames.indexOf(frame);
    slider.value = frame;
    $("timeline-frame").textContent = `${frame}`;
    for (const line of cursors) for (const key of ["x1", "x2"]) line.setAttribute(key, scaleX(frame));
    const confidence = one.confidence[index];
    const sure = confidence === null ? "" : ` Confidence ${confidence.toFixed(2)}.`;
    const failing = drawn.map((measure, place) => [measure, one.values[place][index]])
      .filter(([measure, value]) => fails(value, measure, one.reasons[index]))
      .map(([measure, value]) => `${measure.title} ${number(value, measure)} (${limitWords(measure)})`);
    const why = one.reasons[index].map((reason) => data.reasons[reason]).join("; ");
    $("timeline-words").textContent = one.accepted[index]
      ? `Frame ${frame}: ✓ accepted, every limit is met.${sure}`
      : `Frame ${frame}: ✗ refused: ${why}.${failing.length ? ` Beyond its limit: ${failing.join(", ")}.` : ""}${sure}`;
    for (const button of $("timeline-strip").children) button.classList.toggle("here", Number(button.dataset.frame) === frame);
  };

  const showTrack = (frame) => {
    const [first, last] = span();
    slider.min = first;
    slider.max = last;
    slider.value = frame === undefined ? first : frame;
    const one = track();
    $("timeline-note").textContent = video().note;
    $("timeline-strip").replaceChildren(...one.stills.map((still) => {
      const ok = one.accepted[one.frames.indexOf(still.frame)];
      const button = make("button", { type: "button", "data-frame": still.frame, "aria-label": `Frame ${still.frame}, ${ok ? "accepted" : "refused"}` },
        make("img", { src: still.picture, alt: "" }), make("span", { class: ok ? "ok" : "no" }, ok ? "✓ " : "✗ "), `${still.frame}`);
      button.addEventListener("click", () => moveTo(still.frame));
      return button;
    }));
    $("timeline-strip").hidden = one.stills.length === 0;
    drawCharts();
  };
  const showVideo = (trackIndex = 0, frame = undefined) => {
    trackChoice.replaceChildren(...video().tracks.map((one, index) => make("option", { value: index }, one.title)));
    trackChoice.value = String(trackIndex);
    $("timeline-before").disabled = Number(videoChoice.value) === 0;
    $("timeline-after").disabled = Number(videoChoice.value) === data.videos.length - 1;
    showTrack(frame);
  };
  showOverTime = (label) => {
    videoChoice.value = String(label.video);
    showVideo(label.track, label.frame);
    $("timeline").closest("section").scrollIntoView();
    slider.focus({ preventScroll: true });
  };
  const turn = (by) => { videoChoice.value = String(Number(videoChoice.value) + by); showVideo(); };
  videoChoice.addEventListener("change", () => showVideo());
  trackChoice.addEventListener("change", () => showTrack());
  slider.addEventListener("input", () => moveTo(Number(slider.value)));
  $("timeline-before").addEventListener("click", () => turn(-1));
  $("timeline-after").addEventListener("click", () => turn(1));
  let lastWidth = window.innerWidth;
  window.addEventListener("resize", () => {
    if (window.innerWidth === lastWidth) return;
    lastWidth = window.innerWidth;
    drawCharts();
  });
  $("timeline").hidden = false;
  // begin where both verdicts are seen
  const mixed = data.videos.map((one) => {
    const good = one.tracks[0].accepted.filter(Boolean).length;
    return Math.min(good, one.tracks[0].accepted.length - good);
  });
  videoChoice.value = String(mixed.indexOf(Math.max(...mixed)));
  showVideo();
})();
