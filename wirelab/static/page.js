// A page of one of the notebook's servers, in a frame: the browser fetches it from the server itself.

const KNOCK_DEADLINE = 5; // seconds

const pageHTML = `
  <div class="wirelab-page">
    <p class="notice" role="status">Looking for the server</p>
    <button type="button" hidden>Try again</button>
    <a target="_blank" rel="noopener" hidden>Open this page in a tab of its own</a>
  </div>`;

/** Ask whether anybody answers at an address. What another origin answers, this page may not read, nor need it. */
async function knock(url, signal) {
  const deadline = AbortSignal.timeout(KNOCK_DEADLINE * 1000);
  const answer = await fetch(url, {
    mode: "no-cors",
    cache: "no-store",
    signal: AbortSignal.any([signal, deadline]),
  });
  if (answer.type !== "opaque" && !answer.ok) {
    throw Object.assign(new Error(`answered ${answer.status}`), { status: answer.status });
  }
}

export default {
  render({ model, el }) {
    el.innerHTML = pageHTML;
    const [notice, again, tab] = el.querySelector(".wirelab-page").children;
    const disposal = new AbortController();
    const [base, path] = [model.get("_base"), model.get("_path")];

    async function show() {
      again.hidden = true;
      notice.textContent = "Looking for the server";
      try {
        const address = (await findServer(base, (each) => knock(each + path, disposal.signal))) + path;
        if (disposal.signal.aborted) return;
        const frame = document.createElement("iframe");
        frame.title = model.get("_title");
        frame.height = model.get("_height");
        frame.src = tab.href = address;
        notice.replaceWith(frame);
        tab.hidden = false;
      } catch (error) {
        if (disposal.signal.aborted) return;
        notice.textContent = error.message;
        again.hidden = false;
      }
    }

    again.addEventListener("click", show);
    show();
    return () => {
      disposal.abort();
      el.replaceChildren();
    };
  },
};
