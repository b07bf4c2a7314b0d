// How a page in JupyterLab reaches a server of the notebook. It stands before the script of each live view.

const STOPPED = "Server stopped. Run the cell again.";

/** Base URL of the JupyterLab that this page belongs to, with a slash at its end. */
function jupyterBase() {
  const config = document.getElementById("jupyter-config-data");
  const path = config
    ? JSON.parse(config.textContent).baseUrl
    : location.pathname.replace(/\/(lab|tree|notebooks|doc|edit|consoles)(\/.*)?$/, "/");
  return new URL(path, location.origin).href.replace(/\/*$/, "/");
}

/** Find the address under which this browser reaches the server; `reach` tries one, and throws if it does not lead
 * there, an error with the `status` of the answer if there was one. */
async function findServer(base, reach) {
  const pageIsLocal = ["localhost", "127.0.0.1", "[::1]"].includes(location.hostname);
  const proxied = `${jupyterBase()}proxy/${new URL(base).port}`;
  // From elsewhere, 127.0.0.1 would be the reader's own machine, not the kernel's.
  for (const address of pageIsLocal ? [base, proxied] : [proxied]) {
    try {
      await reach(address);
      return address;
    } catch (error) {
      if (error.status >= 500) throw new Error(STOPPED);
    }
  }
  throw new Error(
    pageIsLocal
      ? `No answer from ${base}. If the server has stopped, run the cell again; if the kernel runs on another ` +
        "machine, install jupyter-server-proxy there, beside JupyterLab."
      : "This browser cannot reach the machine on which the kernel runs. Install jupyter-server-proxy there, " +
        "beside JupyterLab, and reload this page; or run JupyterLab on this computer.",
  );
}
