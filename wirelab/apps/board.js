// The page of the board: it listens first, gets the snapshot then, and drops what the snapshot holds already.
// Addresses are relative, so that it works behind a proxy too. Times are in seconds.

const FIRST_DELAY = 0.5; // the longest wait before the first try to come back; it doubles with each one
const LONGEST_DELAY = 10;
const PATIENCE = 3; // heartbeats without a message until a connection is given up
const OPENING = 8; // until a connection or an answer is given up
const LOG_LENGTH = 8;

const byId = (id) => document.getElementById(id);
const now = () => performance.now() / 1000;
const clock = () => new Date().toLocaleTimeString();
const address = (path) => new URL(path, document.baseURI);

async function ask(method, path, body) {
  const answer = await fetch(address(path), {
    method,
    headers: body ? { "Content-Type": "application/json" } : {},
    body: body && JSON.stringify(body),
    signal: AbortSignal.timeout(1000 * OPENING),
  });
  if (!answer.ok) throw new Error(`The server refused: ${answer.status} ${answer.statusText}`);
  return answer.status === 204 ? null : answer.json();
}

/** The todos as the page shows them: one card each, which stays the same element for as long as the todo lives. */
class Columns {
  #cards = new Map(); // id -> {card, todo}

  load(todos) {
    const ids = new Set(todos.map((todo) => todo.id));
    for (const id of [...this.#cards.keys()]) if (!ids.has(id)) this.remove(id);
    for (const todo of todos) this.put(todo);
  }

  get(id) {
    return this.#cards.get(id)?.todo;
  }

  put(todo) {
    const known = this.#cards.get(todo.id);
    const card = known?.card ?? this.#newCard(todo.id);
    this.#cards.set(todo.id, { card, todo });
    card.querySelector(".text").textContent = todo.task;
    card.querySelector("select").value = todo.status;
    for (const [control, verb] of [["select", "Status of"], [".edit", "Edit"], [".delete", "Delete"]]) {
      card.querySelector(control).setAttribute("aria-label", `${verb} ${todo.task}`);
    }
    card.querySelector(".editor input").setAttribute("aria-label", `New text for ${todo.task}`);
    if (known?.todo.status !== todo.status) this.#move(card, todo);
    this.#count();
  }

  remove(id) {
    const { card } = this.#cards.get(id) ?? {};
    if (!card) return;
    this.#cards.delete(id);
    const hadFocus = card.contains(document.activeElement);
    const neighbour = card.nextElementSibling ?? card.previousElementSibling;
    card.remove();
    // Whoever stood on it goes on from the next one, not from the top of the page.
    const controls = [...(neighbour?.querySelectorAll(".delete, .editor input") ?? [])];
    if (hadFocus) (controls.find((control) => !control.closest("[hidden]")) ?? byId("task")).focus();
    this.#count();
  }

  #move(card, todo) {
    const focused = card.contains(document.activeElement) ? document.activeElement : null;
    const list = document.querySelector(`[data-status="${CSS.escape(todo.status)}"] ul`);
    const after = [...list.children].find((other) => Number(other.dataset.id) > todo.id);
    list.insertBefore(card, after ?? null);
    focused?.focus();
  }

  #count() {
    for (const section of byId("columns").children) {
      section.querySelector(".count").textContent = section.querySelectorAll(".card").length;
    }
  }

  #newCard(id) {
    const card = byId("card").content.firstElementChild.cloneNode(true);
    const [text, controls, editor] = card.children;
    const input = editor.querySelector("input");
    const path = `todos/${id}`;
    card.dataset.id = id;
    controls.querySelector("select").addEventListener("change", async (event) => {
      const saved = await save("PATCH", path, { status: event.target.value });
      if (!saved) event.target.value = this.get(id)?.status;
    });
    controls.querySelector(".delete").addEventListener("click", () => save("DELETE", path));
    const edit = (on) => {
      [text.hidden, controls.hidden, editor.hidden] = [on, on, !on];
      (on ? input : controls.querySelector(".edit")).focus();
    };
    controls.querySelector(".edit").addEventListener("click", () => {
      input.value = this.get(id).task;
      edit(true);
    });
    editor.querySelector(".cancel").addEventListener("click", () => edit(false));
    editor.addEventListener("keydown", (event) => event.key === "Escape" && edit(false));
    editor.addEventListener("submit", async (event) => {
      event.preventDefault();
      if (await save("PATCH", path, { task: input.value })) edit(false);
    });
    return card;
  }
}

/** Send one change; whether it was accepted. What is shown changes when the board says so, over the socket. */
async function save(method, path, body) {
  byId("problem").textContent = "";
  try {
    await ask(method, path, body);
    return true;
  } catch (fault) {
    const reason = fault.message.startsWith("The server refused") ? fault.message : "The server does not answer";
    byId("problem").textContent = `Not saved. ${reason}.`;
    return false;
  }
}

function note(text) {
  const line = document.createElement("li");
  line.textContent = `${clock()} ${text}`;
  byId("log").append(line);
  while (byId("log").children.length > LOG_LENGTH) byId("log").firstElementChild.remove();
}

function told(before, after) {
  if (!after) return before && `Deleted: ${before.task}`;
  if (!before) return `Added: ${after.task}`;
  if (before.task !== after.task) return `Changed: ${before.task} is now ${after.task}`;
  return `${after.status}: ${after.task}`;
}

/** The connection: one socket at a time, and what is known of how old the page is. */
class Connection {
  #columns = new Columns();
  #socket = null;
  #epoch = null;
  #seq = 0;
  #messages = []; // not looked at yet, oldest first
  #looking = false;
  #heartbeat = OPENING / PATIENCE;
  #heard = null; // when the last message came
  #heardAt = ""; // and what the clock said
  #delay = FIRST_DELAY;
  #retryAt = null;

  open() {
    this.#retryAt = null;
    this.#messages = [];
    this.#heartbeat = OPENING / PATIENCE;
    const url = address("updates");
    url.protocol = url.protocol.replace("http", "ws");
    const socket = new WebSocket(url);
    this.#socket = socket;
    this.openedAt = now();
    socket.onopen = () => this.introduce();
    socket.onmessage = (event) => {
      if (socket !== this.#socket) return;
      this.#heard = now();
      this.#heardAt = clock();
      this.#messages.push(JSON.parse(event.data));
      this.#look(socket);
    };
    socket.onclose = () => socket === this.#socket && this.#broken();
  }

  introduce() {
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify({ name: byId("name").value }));
  }

  tryNow() {
    if (this.#retryAt !== null) this.open();
  }

  /** Look at the messages in order. While a snapshot is on its way, new ones wait. */
  async #look(socket) {
    if (this.#looking) return;
    this.#looking = true;
    try {
      while (socket === this.#socket && this.#messages.length) {
        const message = this.#messages.shift();
        this.#heartbeat = message.heartbeat ?? this.#heartbeat;
        if (!this.#take(message)) {
          this.#state("behind");
          const snapshot = await ask("GET", "board");
          if (socket !== this.#socket) return;
          this.#load(snapshot);
        }
        if (message.people) this.#show(message.people);
      }
      if (socket === this.#socket) this.#live();
    } catch {
      if (socket === this.#socket) this.#broken();
    } finally {
      this.#looking = false;
      // A new socket's messages came while the old one's snapshot was on its way.
      if (this.#socket && socket !== this.#socket && this.#messages.length) this.#look(this.#socket);
    }
  }

  /** Take a message; false if it tells of a change that is not known here. */
  #take({ epoch, seq, id, todo }) {
    if (epoch !== this.#epoch) return false;
    if (seq <= this.#seq) return true;
    if (seq > this.#seq + 1 || id === undefined) return false;
    const happened = told(this.#columns.get(id), todo);
    if (todo) this.#columns.put(todo);
    else this.#columns.remove(id);
    this.#seq = seq;
    if (happened) note(happened);
    return true;
  }

  #load({ epoch, seq, todos }) {
    if (this.#epoch !== null) note(epoch === this.#epoch ? "Caught up with the board" : "The server has started anew");
    this.#columns.load(todos);
    [this.#epoch, this.#seq] = [epoch, seq];
  }

  #show(people) {
    byId("people").replaceChildren(
      ...people.map((name) => {
        const item = document.createElement("li");
        item.textContent = name;
        return item;
      }),
    );
  }

  #live() {
    this.#delay = FIRST_DELAY;
    this.#state("live");
  }

  #broken() {
    const socket = this.#socket;
    if (!socket) return;
    this.#socket = null;
    this.#messages = []; // of a connection that is gone: nothing may come of them
    socket.close();
    // Anywhere in the span: pages that were cut off together shall not come back together.
    this.#retryAt = now() + Math.random() * this.#delay;
    this.#delay = Math.min(2 * this.#delay, LONGEST_DELAY);
    this.#state("lost");
  }

  /** Say how things are, once: a screen reader reads it out. */
  #state(name) {
    const before = document.body.dataset.state;
    // Trying again is no news: the page is as old as before.
    if (name !== before && (name === "live" || before !== "lost")) {
      document.body.dataset.state = name;
      byId("state").textContent = {
        behind: "Catching up",
        live: "Live",
        lost: this.#heardAt ? `Connection lost. Nothing heard since ${this.#heardAt}.` : "No connection yet",
      }[name];
    }
    const retry = byId("retry");
    // A button that goes takes the focus with it: it goes on from the first field.
    if (name === "live" && document.activeElement === retry) byId("task").focus();
    retry.hidden = document.body.dataset.state !== "lost";
    byId("since").textContent = this.#age();
  }

  /** Four times a second: notice silence, show how long it lasts, come back when it is time. */
  tick() {
    const silence = now() - Math.max(this.#heard ?? 0, this.openedAt);
    if (this.#socket && silence > PATIENCE * this.#heartbeat) this.#broken();
    if (this.#retryAt !== null && now() >= this.#retryAt) this.open();
    byId("since").textContent = this.#age();
  }

  #age() {
    if (this.#heard === null) return "Nothing heard yet";
    const age = Math.floor(now() - this.#heard);
    const waiting = this.#retryAt === null ? "" : `, next try in ${Math.ceil(this.#retryAt - now())} s`;
    return `Last heard ${age} s ago${waiting}`;
  }
}

/** A name kept from the last visit, where the browser allows that. */
function keptName(name) {
  try {
    if (name) localStorage.setItem("board-name", name);
    return localStorage.getItem("board-name");
  } catch {
    return null;
  }
}

byId("name").value = keptName() ?? `Guest ${100 + Math.floor(900 * Math.random())}`;
const connection = new Connection();

byId("add").addEventListener("submit", async (event) => {
  event.preventDefault();
  const field = byId("task");
  if (await save("POST", "todos", { task: field.value })) field.value = "";
  field.focus();
});
byId("me").addEventListener("submit", (event) => {
  event.preventDefault();
  keptName(byId("name").value);
  connection.introduce();
});
byId("retry").addEventListener("click", () => connection.tryNow());
window.addEventListener("online", () => connection.tryNow());
document.addEventListener("visibilitychange", () => document.hidden || connection.tryNow());

connection.open();
setInterval(() => connection.tick(), 250);
