"""What the browser does for the viewer: it shows pictures, and tells where the pointer is and which key was pressed. No arithmetic on the sky."""

from __future__ import annotations

__all__ = ["SCRIPT", "STYLE"]

STYLE = """\
.nbm-view{position:relative;overflow:hidden;display:inline-block;line-height:0;max-width:100%;cursor:crosshair;touch-action:none;border-radius:3px}
.nbm-view img{display:block;max-width:100%;user-select:none;image-rendering:pixelated}
.nbm-view:focus::after{content:"";position:absolute;inset:0;pointer-events:none;outline:3px solid var(--jp-brand-color1,#1976d2);outline-offset:-3px}
"""

# Positions are sent as parts of the width and height of the picture, so that it does not matter how large the page draws it. Moves and turns
# of the wheel are gathered: the kernel gets at most ten messages a second, a slow line as many as it answers.
SCRIPT = """\
const PAUSE = 100;
const PATIENCE = 2000;
const KEYS = new Set(["ArrowLeft", "ArrowRight", "ArrowUp", "ArrowDown", "+", "=", "-", "0", "1", "c", "b", "Enter"]);

function render({ model, el }) {
  const box = document.createElement("div");
  const image = document.createElement("img");
  box.className = "nbm-view";
  box.tabIndex = 0;
  box.setAttribute("role", "application");
  box.dataset.lmSuppressShortcuts = "true";
  image.draggable = false;
  box.append(image);
  el.append(box);

  let address = null;
  const show = () => {
    const old = address;
    address = URL.createObjectURL(new Blob([model.get("png")], { type: "image/png" }));
    image.onload = () => {
      image.style.transform = "";
      if (old) URL.revokeObjectURL(old);
    };
    image.src = address;
  };
  const describe = () => {
    image.alt = model.get("alt");
    box.setAttribute("aria-label", model.get("alt") + " " + model.get("help"));
    box.title = model.get("help");
  };

  const place = (event) => {
    const area = image.getBoundingClientRect();
    return { right: (event.clientX - area.left) / area.width, down: (event.clientY - area.top) / area.height };
  };

  let waiting = null;
  let timer = 0;
  let sent = 0;
  let open = false;
  const flush = () => {
    timer = 0;
    if (waiting === null) return;
    if (open && performance.now() - sent < PATIENCE) {
      timer = setTimeout(flush, PAUSE);
      return;
    }
    model.send(waiting);
    waiting = null;
    open = true;
    sent = performance.now();
    timer = setTimeout(flush, PAUSE);
  };
  const later = (message) => {
    waiting = waiting !== null && waiting.kind === "wheel" && message.kind === "wheel"
      ? { ...message, steps: waiting.steps + message.steps }
      : message;
    if (!timer) flush();
  };
  const answered = () => {
    open = false;
    if (image.complete && start === null) image.style.transform = "";  // a move that changed nothing brings no new picture
  };

  let start = null;
  let dragged = false;
  const on = (name, handler, options) => box.addEventListener(name, handler, options);
  on("pointerdown", (event) => {
    if (event.button !== 0) return;
    box.focus();
    box.setPointerCapture(event.pointerId);
    start = event;
    dragged = false;
  });
  on("pointermove", (event) => {
    if (start === null) {
      later({ kind: "hover", ...place(event) });
      return;
    }
    const [dx, dy] = [event.clientX - start.clientX, event.clientY - start.clientY];
    dragged = dragged || Math.hypot(dx, dy) > 3;
    if (dragged) image.style.transform = `translate(${dx}px, ${dy}px)`;
  });
  on("pointerup", (event) => {
    if (start === null) return;
    if (dragged) {
      const area = box.getBoundingClientRect();
      model.send({
        kind: "drag",
        right: (event.clientX - start.clientX) / area.width,
        down: (event.clientY - start.clientY) / area.height,
      });
    } else {
      model.send({ kind: "click", ...place(event) });
    }
    start = null;
  });
  on("pointercancel", () => { start = null; image.style.transform = ""; });
  on("pointerleave", () => { if (start === null) later({ kind: "leave" }); });
  on("dblclick", (event) => model.send({ kind: "double", ...place(event) }));
  on("wheel", (event) => {
    if (document.activeElement !== box && el.getRootNode().activeElement !== box) return;
    event.preventDefault();
    later({ kind: "wheel", steps: event.deltaY > 0 ? -1 : 1, ...place(event) });
  }, { passive: false });
  on("keydown", (event) => {
    if (!KEYS.has(event.key) || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    event.stopPropagation();
    model.send({ kind: "key", key: event.key, shift: event.shiftKey });
  });

  model.on("change:png", show);
  model.on("change:alt", describe);
  model.on("msg:custom", answered);
  describe();
  show();
  model.set("ready", true);
  model.save_changes();
  return () => {
    clearTimeout(timer);
    model.off("change:png", show);
    model.off("change:alt", describe);
    model.off("msg:custom", answered);
    if (address) URL.revokeObjectURL(address);
  };
}
export default { render };
"""
