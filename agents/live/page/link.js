// The connection to the server: commands go out as JSON, packets come in as a header and pictures.

export class Link {
  constructor(receive, changed) {
    this.receive = receive;
    this.changed = changed;
    this.order = Promise.resolve();
    this.wait = 500;
    this.connect();
  }

  connect() {
    const address = `${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/socket`;
    this.socket = new WebSocket(address);
    this.socket.binaryType = "arraybuffer";
    this.socket.onopen = () => { this.wait = 500; this.changed(true); };
    this.socket.onmessage = ({ data }) => { this.order = this.order.then(() => this.open(data)).catch(console.error); };
    this.socket.onclose = () => {
      this.changed(false);
      setTimeout(() => this.connect(), this.wait);
      this.wait = Math.min(this.wait * 2, 8000);
    };
  }

  send(name, values = {}) {
    if (this.socket.readyState === WebSocket.OPEN) this.socket.send(JSON.stringify({ do: name, ...values }));
  }

  // Packets are unpacked one after the other, so that their pictures keep their order.
  async open(data) {
    const length = new DataView(data).getUint32(0, true);
    const header = JSON.parse(new TextDecoder().decode(new Uint8Array(data, 4, length)));
    let start = 4 + length;
    const blobs = header.sizes.map((size) => new Blob([new Uint8Array(data, (start += size) - size, size)]));
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
}
