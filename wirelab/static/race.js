// Polling against push, both run by the page itself against a server of the notebook.
// Times are in seconds. "Server time" is the clock that stamps the updates.

const ANSWER_DEADLINE = 5;
const STRIP_SECONDS = 10;

const now = () => performance.now() / 1000;

/** Where the server's clock stands, judged by what arrives in the page. */
class ServerClock {
  #shortestRoundTrip = Infinity;
  #fastest = [Infinity, Infinity];
  #minute = 0;
  #arrivals = 0;

  arrived(emittedAt, at) {
    // Two clocks drift apart: only this minute and the one before it count.
    const minute = Math.floor(at / 60);
    if (minute !== this.#minute) {
      this.#fastest = [Infinity, minute === this.#minute + 1 ? this.#fastest[0] : Infinity];
      this.#minute = minute;
    }
    this.#fastest[0] = Math.min(this.#fastest[0], at - emittedAt);
    this.#arrivals += 1;
  }

  roundTrip(seconds) {
    this.#shortestRoundTrip = Math.min(this.#shortestRoundTrip, seconds);
  }

  get silent() {
    return this.#arrivals === 0;
  }

  /** What comes first may be old: one arrival says nothing of its way. */
  get known() {
    return this.#arrivals > 1 && this.doubt < Infinity;
  }

  get doubt() {
    return this.#shortestRoundTrip / 2;
  }

  /** Server time at the page's time `at`. */
  when(at) {
    const way = this.doubt < Infinity ? this.doubt : 0;
    return at - Math.min(...this.#fastest) + way;
  }
}

/** What one of the two ways has brought to the page. */
class Lane {
  shown = null; // the newest update it has brought
  first = null; // and the seq of the first
  learned = new Map(); // seq -> server time at which the page had it
  asked = []; // {at, wasted} of each request, at in server time
  outdated = []; // [from, to] in server time
  outdatedSince = null;
  outdatedTotal = 0;
  joined = null;
  seen = 0;
  missed = 0;
  requests = 0;
  wasted = 0;
  trouble = null;

  exists(update) {
    if (this.shown && this.outdatedSince === null) this.outdatedSince = update.emitted_at;
  }

  learn(update, at, newest) {
    if (this.shown) this.missed += update.seq - this.shown.seq - 1;
    this.shown = update;
    this.seen += 1;
    this.first ??= update.seq;
    this.joined ??= at;
    this.learned.set(update.seq, at);
    if (this.outdatedSince !== null) {
      this.outdated.push([this.outdatedSince, at]);
      this.outdatedTotal += at - this.outdatedSince;
    }
    this.outdatedSince = update.seq < newest.seq ? at : null;
  }

  outdatedShare(time) {
    const open = this.outdatedSince === null ? 0 : time - this.outdatedSince;
    return (this.outdatedTotal + open) / (time - this.joined);
  }

  forget(before) {
    this.asked = this.asked.filter(({ at }) => at >= before);
    this.outdated = this.outdated.filter(([, to]) => to >= before);
    for (const [seq, at] of this.learned) if (at < before) this.learned.delete(seq);
  }
}

/** One race from start to stop: two lanes, and the updates known through either. */
class Round {
  clock = new ServerClock();
  poll = new Lane();
  push = new Lane();
  updates = [];
  decimals = 0; // of the values: two once one has a fraction, that prices keep their width
  started = now();

  /** Take in an update that reached `lane`; say whether it was new there. */
  arrive(lane, update, at) {
    this.clock.arrived(update.emitted_at, at);
    if (typeof update.value === "number" && !Number.isInteger(update.value)) this.decimals = 2;
    const newest = this.updates.at(-1);
    if (!newest || update.seq > newest.seq) {
      this.updates.push(update);
      this.poll.exists(update);
      this.push.exists(update);
    }
    if (lane.shown && update.seq <= lane.shown.seq) return false;
    lane.learn(update, this.clock.when(at), this.updates.at(-1));
    return true;
  }

  forget(before) {
    this.updates = this.updates.filter((update, i, all) => update.emitted_at >= before || i === all.length - 1);
    this.poll.forget(before);
    this.push.forget(before);
  }
}

const isUpdate = (message) => Number.isFinite(message?.seq) && Number.isFinite(message?.emitted_at);

function sleep(seconds, signal) {
  return new Promise((resolve) => {
    const end = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", end);
      resolve();
    };
    const timer = setTimeout(end, seconds * 1000);
    signal.addEventListener("abort", end);
  });
}

async function ask(url, signal) {
  const deadline = AbortSignal.timeout(ANSWER_DEADLINE * 1000);
  const answer = await fetch(url, { cache: "no-store", signal: AbortSignal.any([signal, deadline]) });
  if (!answer.ok) throw Object.assign(new Error(`answered ${answer.status}`), { status: answer.status });
  return answer.status === 204 ? null : answer.json(); // 204: no update yet
}

async function poll(url, every, round, signal) {
  const lane = round.poll;
  let due = now();
  let failures = 0;
  while (!signal.aborted) {
    const asked = now();
    lane.requests += 1;
    try {
      const update = await ask(url, signal);
      const at = now();
      round.clock.roundTrip(at - asked);
      const fresh = isUpdate(update) && round.arrive(lane, update, at);
      if (!fresh) lane.wasted += 1;
      lane.asked.push({ at: round.clock.when(at), wasted: !fresh });
      failures = 0;
    } catch (error) {
      failures += 1;
      if (failures > 1 && !signal.aborted) throw error;
    }
    // On a fixed schedule; an answer slower than `every` costs the polls it covers, without a burst after it.
    due += every * Math.max(1, Math.ceil((now() - due) / every));
    await sleep(failures ? Math.min(every, 0.5) : due - now(), signal);
  }
}

function listen(url, round, signal) {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(url);
    round.push.requests += 1;
    socket.onmessage = ({ data }) => {
      const at = now();
      const update = JSON.parse(data);
      if (isUpdate(update)) round.arrive(round.push, update, at);
    };
    socket.onclose = () => (signal.aborted ? resolve() : reject(new Error("closed by the server")));
    signal.addEventListener("abort", () => socket.close(), { once: true });
  });
}

const laneHTML = (kind, title, how) => `
  <section class="lane" data-lane="${kind}" aria-label="${title}">
    <div class="head"><strong>${title}</strong> <span data-field="how">${how}</span></div>
    <div class="now">
      <span class="value" data-field="value">–</span>
      <span class="age"><b data-field="age">–</b> old</span>
      <span class="state" data-field="state"></span>
    </div>
    <p class="trouble" data-field="trouble" role="status"></p>
    <canvas role="img" aria-label="The last seconds, time running to the right. Upper row: updates as the server
      makes them. Lower row: when this page learns of them. Shaded: the page shows an old value."></canvas>
    <dl>
      <div><dt>updates seen</dt><dd data-field="seen">0</dd></div>
      <div><dt>missed</dt><dd data-field="missed">0</dd></div>
      <div><dt>requests made</dt><dd data-field="requests">0</dd></div>
      <div><dt>wasted</dt><dd data-field="wasted">0</dd></div>
      <div class="wide"><dt>out of date</dt><dd data-field="share">–</dd></div>
    </dl>
  </section>`;

const raceHTML = `
  <div class="wirelab-race" role="group" aria-label="Polling against push, live">
    <div class="controls">
      <button type="button" data-field="toggle">Pause</button>
      <label>Poll every <input type="range" step="0.05"> <span data-field="every" aria-hidden="true"></span></label>
      <span class="clock" data-field="clock"></span>
    </div>
    <p class="notice" data-field="notice" role="status"></p>
    <div class="lanes">
      ${laneHTML("poll", "Polling", "")}
      ${laneHTML("push", "Push", "the server sends")}
    </div>
    <ul class="legend">
      <li><i class="dot"></i>made by the server</li>
      <li><i class="mark"></i>shown in this page</li>
      <li><i class="hollow"></i>missed</li>
      <li><i class="cross">×</i>asked, nothing new</li>
      <li><i class="band"></i>page out of date</li>
      <li><i class="tick"></i>a second</li>
    </ul>
    <details>
      <summary>How the ages are measured</summary>
      The server stamps each update with its own clock. This page takes the fastest arrival as having travelled for
      half the shortest round trip it has measured, and reckons every age in both lanes from there: right to within
      <span data-field="doubt">half that round trip</span>. Counts start over when you pause, move the slider, or
      look away: the race runs only while it can be seen.
    </details>
  </div>`;

const seconds = (value) => `${Math.max(0, value).toFixed(2)} s`;
const percent = (share) => `${(100 * share).toFixed(share < 0.0995 ? 1 : 0)} % of the time`;
const readable = (value, decimals) => (typeof value === "number" ? value.toFixed(decimals) : `${value}`);

/** The fields of an element by their names. */
const fieldsOf = (element) =>
  Object.fromEntries([...element.querySelectorAll("[data-field]")].map((field) => [field.dataset.field, field]));

/** A strip of time: a row for the server, a row for the page, and what went between them. */
class Strip {
  static #GUTTER = 46;
  static #MARGIN = 10;
  static #SERVER = 12;
  static #PAGE = 64;

  constructor(canvas) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
  }

  clear() {
    const { clientWidth, clientHeight } = this.canvas;
    const ratio = devicePixelRatio || 1;
    this.width = clientWidth;
    this.height = clientHeight;
    this.canvas.width = Math.round(clientWidth * ratio);
    this.canvas.height = Math.round(clientHeight * ratio);
    this.context.scale(ratio, ratio);
  }

  draw(lane, round, time, span) {
    this.clear();
    const styles = getComputedStyle(this.canvas);
    const colour = (name) => styles.getPropertyValue(`--race-${name}`).trim();
    this.lane = colour("lane");
    this.ink = colour("ink");
    this.faint = colour("faint");
    this.context.font = `11px ${styles.fontFamily}`;
    const left = Strip.#GUTTER;
    const perSecond = (this.width - left - Strip.#MARGIN) / span;
    this.x = (at) => this.width - Strip.#MARGIN - (time - at) * perSecond;

    this.#labels();
    this.context.save();
    this.context.beginPath();
    this.context.rect(left - 4, 0, this.width, this.height);
    this.context.clip();
    this.#ground(lane, time, span);
    for (const request of lane.asked) this.#request(request);
    for (const update of round.updates) this.#update(update, lane);
    this.context.restore();
  }

  #labels() {
    this.context.fillStyle = this.ink;
    this.context.textBaseline = "middle";
    this.context.fillText("server", 0, Strip.#SERVER);
    this.context.fillText("page", 0, Strip.#PAGE);
  }

  #ground(lane, time, span) {
    const { context, x } = this;
    context.fillStyle = this.lane;
    context.globalAlpha = 0.2;
    const open = lane.outdatedSince === null ? [] : [[lane.outdatedSince, time]];
    for (const [from, to] of [...lane.outdated, ...open]) {
      context.fillRect(x(from), Strip.#SERVER, x(to) - x(from), Strip.#PAGE - Strip.#SERVER);
    }
    context.globalAlpha = 1;
    context.strokeStyle = this.faint;
    for (const y of [Strip.#SERVER, Strip.#PAGE]) this.#line(0, y, this.width, y, 1);
    for (let tick = Math.ceil(time - span); tick <= time; tick += 1) {
      this.#line(x(tick), Strip.#PAGE, x(tick), Strip.#PAGE + 5, 1);
    }
  }

  #request({ at, wasted }) {
    const { context, x } = this;
    context.strokeStyle = wasted ? this.ink : this.lane;
    const [middle, y] = [x(at), Strip.#PAGE];
    if (wasted) {
      this.#line(middle - 4, y - 4, middle + 4, y + 4, 1.5);
      this.#line(middle - 4, y + 4, middle + 4, y - 4, 1.5);
    }
  }

  #update({ seq, emitted_at: made }, lane) {
    const { context, x } = this;
    const [from, to] = [x(made), x(lane.learned.get(seq))];
    const missed = Number.isNaN(to) && lane.shown && lane.first < seq && seq < lane.shown.seq;
    if (!Number.isNaN(to)) {
      context.strokeStyle = context.fillStyle = this.lane;
      this.#line(from, Strip.#SERVER, to, Strip.#PAGE, 1.5);
      this.#path([[to, -6], [to + 6, 0], [to, 6], [to - 6, 0]].map(([px, dy]) => [px, Strip.#PAGE + dy]));
      context.fill();
    }
    context.beginPath();
    context.arc(from, Strip.#SERVER, missed ? 3.5 : 4.5, 0, 2 * Math.PI);
    context.strokeStyle = context.fillStyle = missed || Number.isNaN(to) ? this.ink : this.lane;
    context.lineWidth = 1.5;
    if (missed) context.stroke();
    else context.fill();
  }

  #line(x1, y1, x2, y2, width) {
    this.context.lineWidth = width;
    this.#path([[x1, y1], [x2, y2]]);
    this.context.stroke();
  }

  #path(points) {
    this.context.beginPath();
    for (const [x, y] of points) this.context.lineTo(x, y);
  }
}

class RaceView {
  #model;
  #disposal = new AbortController();
  #running = null; // AbortController of the round that runs
  #round = new Round();
  #wanted = true;
  #onScreen = false;
  #lastText = 0;
  #lastDrawn = 0;

  constructor(model, el) {
    this.#model = model;
    el.innerHTML = raceHTML;
    this.root = el.querySelector(".wirelab-race");
    this.slider = el.querySelector("input");
    this.fields = fieldsOf(el.querySelector(".wirelab-race"));
    this.lanes = [...el.querySelectorAll(".lane")].map((section) => ({
      kind: section.dataset.lane,
      section,
      fields: fieldsOf(section),
      strip: new Strip(section.querySelector("canvas")),
    }));
    this.stillness = matchMedia("(prefers-reduced-motion: reduce)");
    this.#connectControls();
    this.#watchVisibility();
    this.#showInterval(model.get("every"));
  }

  dispose() {
    this.#disposal.abort();
    this.#stop();
  }

  #connectControls() {
    const { signal } = this.#disposal;
    const model = this.#model;
    [this.slider.min, this.slider.max] = model.get("_limits");
    this.slider.value = model.get("every");
    this.slider.addEventListener("input", () => this.#showInterval(this.slider.valueAsNumber), { signal });
    this.slider.addEventListener("change", () => {
      model.set("every", this.slider.valueAsNumber);
      model.save_changes();
    }, { signal });
    const restart = () => {
      this.slider.value = model.get("every");
      this.#showInterval(model.get("every"));
      this.#stop();
      this.#startIfSeen();
    };
    model.on("change:every", restart);
    signal.addEventListener("abort", () => model.off("change:every", restart));
    this.fields.toggle.addEventListener("click", () => {
      this.#wanted = this.#running === null;
      this.#startIfSeen();
    }, { signal });
  }

  #watchVisibility() {
    const { signal } = this.#disposal;
    document.addEventListener("visibilitychange", () => this.#startIfSeen(), { signal });
    const observer = new IntersectionObserver((entries) => {
      this.#onScreen = entries.at(-1).isIntersecting;
      this.#startIfSeen();
    });
    observer.observe(this.root);
    signal.addEventListener("abort", () => observer.disconnect());
  }

  /** Run exactly while the reader wants it and can see it. */
  #startIfSeen() {
    const run = this.#wanted && this.#onScreen && !document.hidden;
    if (run && !this.#running) this.#start();
    if (!run && this.#running) this.#stop();
  }

  async #start() {
    this.#running = new AbortController();
    const { signal } = this.#running;
    const round = (this.#round = new Round());
    this.fields.toggle.textContent = "Pause";
    this.fields.notice.textContent = "";
    requestAnimationFrame((time) => this.#frame(time, signal));
    try {
      const base = await findServer(this.#model.get("_base"), (address) => ask(address + this.#model.get("_latest"), signal));
      round.started = now();
      const stream = base.replace(/^http/, "ws") + this.#model.get("_stream");
      const stopped = (lane) => () => (lane.trouble = STOPPED);
      await Promise.all([
        poll(base + this.#model.get("_latest"), this.#model.get("every"), round, signal).catch(stopped(round.poll)),
        listen(stream, round, signal).catch(stopped(round.push)),
      ]);
    } catch (error) {
      if (!signal.aborted) this.fields.notice.textContent = error.message;
    }
    if (signal.aborted) return;
    this.#wanted = false;
    this.#stop();
  }

  #stop() {
    this.#running?.abort();
    this.#running = null;
    this.fields.toggle.textContent = "Start";
    this.#write();
  }

  #frame(time, signal) {
    if (signal.aborted) return;
    const still = this.stillness.matches;
    if (time - this.#lastDrawn >= (still ? 1000 : 30)) {
      this.#lastDrawn = time;
      this.#draw();
    }
    if (time - this.#lastText >= (still ? 1000 : 100)) {
      this.#lastText = time;
      this.#write();
    }
    requestAnimationFrame((next) => this.#frame(next, signal));
  }

  #showInterval(every) {
    const interval = parseFloat(every.toFixed(2));
    this.fields.every.textContent = `${interval} s`;
    this.slider.setAttribute("aria-valuetext", `${interval} seconds`);
    this.lanes[0].fields.how.textContent = `the page asks every ${interval} s`;
  }

  #draw() {
    if (this.#round.clock.silent) {
      for (const { strip } of this.lanes) strip.clear();
      return;
    }
    const span = Math.max(STRIP_SECONDS, 4 * this.#model.get("every"));
    const time = this.#round.clock.when(now());
    this.#round.forget(time - span - 5);
    for (const { kind, strip } of this.lanes) strip.draw(this.#round[kind], this.#round, time, span);
  }

  #write() {
    const { clock, started } = this.#round;
    const time = clock.when(now());
    this.fields.clock.textContent = this.#running ? `counted for ${Math.floor(now() - started)} s` : "not running";
    if (clock.known) this.fields.doubt.textContent = `${(1000 * clock.doubt).toFixed(1)} ms`;
    for (const { kind, section, fields } of this.lanes) this.#writeLane(this.#round[kind], time, section, fields);
  }

  #writeLane(lane, time, section, fields) {
    const moving = this.#running && lane.shown && this.#round.clock.known;
    fields.trouble.textContent = lane.trouble ?? "";
    fields.value.textContent = lane.shown ? readable(lane.shown.value, this.#round.decimals) : "–";
    for (const count of ["seen", "missed", "requests", "wasted"]) fields[count].textContent = lane[count];
    if (lane.trouble) {
      section.dataset.state = "stopped";
    } else if (!this.#running) {
      section.dataset.state = "paused";
      fields.state.textContent = lane.shown ? "paused" : "";
    } else {
      const outdated = lane.outdatedSince !== null;
      section.dataset.state = outdated ? "outdated" : "current";
      fields.age.textContent = moving ? seconds(time - lane.shown.emitted_at) : "–";
      fields.share.textContent = moving ? percent(lane.outdatedShare(time)) : "–";
      fields.state.textContent = !moving ? "" : outdated
        ? `out of date for ${seconds(time - lane.outdatedSince)}` : "up to date";
    }
  }
}

export default {
  render({ model, el }) {
    const view = new RaceView(model, el);
    return () => view.dispose();
  },
};
