// The connection to the server: commands go out as JSON, packets come in as a header and pictures.

const FIRST_WAIT = 500, LONGEST_WAIT = 8000;

export class Link {
  // `agent` gives the name of the agent to ask for, "" for the server's own.
  constructor(receive, changed, agent) {
    Object.assign(this, { receive, changed, agent, order: Promise.resolve(), wait: FIRST_WAIT });
    this.connect();
  }

  connect() {
    const address = new URL("socket", location.href);
    address.protocol = location.protocol === "https:" ? "wss:" : "ws:";
    address.hash = "";
    address.search = this.agent() ? `?${new URLSearchParams({ agent: this.agent() })}` : "";
    const socket = (this.socket = new WebSocket(address));
    socket.binaryType = "arraybuffer";
    socket.onopen = () => { if (socket === this.socket) this.changed(true); else socket.close(); };
    socket.onmessage = ({ data }) => { this.order = this.order.then(() => this.open(data, socket)).catch(console.error); };
    socket.onclose = () => {
      if (socket !== this.socket) return; // another connection has taken its place
      this.changed(false);
      this.retry = setTimeout(() => this.connect(), this.wait);
      this.wait = Math.min(this.wait * 2, LONGEST_WAIT);
    };
  }

  // Leave this session for a new one, e.g. of another agent.
  renew() {
    clearTimeout(this.retry);
    const before = this.socket;
    this.changed(false);
    this.connect();
    if (before.readyState === WebSocket.OPEN) before.close(); // one that is on its way closes once it is open
  }

  send(name, values = {}) {
    if (this.socket.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify({ do: name, ...values }));
  }

  // Packets are unpacked one after the other, so that their pictures keep their order.
  async open(data, socket) {
    if (socket !== this.socket) return;
    const length = new DataView(data).getUint32(0, true);
    const header = JSON.parse(new TextDecoder().decode(new Uint8Array(data, 4, length)));
    let start = 4 + length;
    const blobs = header.sizes.map((size) => new Blob([new Uint8Array(data, (start += size) - size, size)]));
    if (!["hello", "note"].includes(header.kind)) this.wait = FIRST_WAIT; // a session that works, not only a socket
    await this.receive(header, blobs);
  }
}

export const bitmaps = (blobs) => Promise.all(blobs.map((blob) => createImageBitmap(blob)));

// A command that is sent again and again while something is dragged: one at a time, and always the newest.
export class Stream {
  constructor(link, name) { this.link = link; this.name = name; }
  send(values) {
    if (this.busy && performance.now() - this.since < 1000) { this.next = values; return; }
    this.busy = true;
    this.since = performance.now();
    this.link.send(this.name, values);
  }
  answered() {
    this.busy = false;
    if (this.next) { const values = this.next; this.next = null; this.send(values); }
  }
  // A new session owes no answer to what the last one was asked.
  forget() { this.busy = false; this.next = null; }
}
