// Boxes that are drawn, moved and resized on pictures, by mouse, finger and keyboard. The editor of a
// release and the masks of a camera share it; what a box means, and how it is kept, is theirs.
"use strict";

// surface lays a layer over each of stages, which all show the same boxes. Lengths are shares of the
// picture. keep is how the page keeps its boxes:
//   count(), rect(i) and place(i, r): how many, where (exact: false when it is a guess), and put elsewhere
//   save() and restore(text): everything, as text
//   look(i), label(i) and name(i): class names, what a screen reader says, a short name
//   fixed(i): whether a box can be taken away and not be moved; may be left out
//   draws(event): whether a drag beside every box draws one; press() and tap(was): pressed, and pressed without a drag
//   drawn(r), moved(i, before), change(words, act), remove(i) and show(): what the page does after it
cliplease.surface = (stages, keep) => {
	const at = (layer, event) => {
		const b = layer.getBoundingClientRect();
		return { x: Math.min(1, Math.max(0, (event.clientX - b.left) / b.width)), y: Math.min(1, Math.max(0, (event.clientY - b.top) / b.height)) };
	};
	const put = (el, r) => {
		el.style.left = 100 * r.x + "%";
		el.style.top = 100 * r.y + "%";
		el.style.width = 100 * r.w + "%";
		el.style.height = 100 * r.h + "%";
	};
	const fixed = (i) => Boolean(keep.fixed && keep.fixed(i));
	const self = { chosen: -1, layers: [] };

	// within brings a rectangle into the picture, and to the least size.
	self.within = (r) => {
		const round = (v) => Math.round(v * 1e5) / 1e5;
		const w = Math.min(1, Math.max(0.01, r.w)), h = Math.min(1, Math.max(0.01, r.h));
		const x = round(Math.min(1 - w, Math.max(0, r.x))), y = round(Math.min(1 - h, Math.max(0, r.y)));
		return { x, y, w: round(Math.min(w, 1 - x)), h: round(Math.min(h, 1 - y)) };
	};

	// paint shows the boxes of this moment on the pictures.
	self.paint = () => {
		for (const layer of self.layers) {
			const boxes = [...layer.querySelectorAll("[data-box]")];
			while (boxes.length > keep.count()) boxes.pop().remove();
			while (boxes.length < keep.count()) {
				const b = document.createElement("button");
				b.type = "button";
				b.dataset.box = String(boxes.length);
				for (const corner of ["nw", "ne", "sw", "se"]) {
					const handle = document.createElement("span");
					handle.dataset.handle = corner;
					b.append(handle);
				}
				layer.append(b);
				boxes.push(b);
			}
			for (const [i, b] of boxes.entries()) {
				const r = keep.rect(i), exact = r.exact !== false;
				b.className = "region " + keep.look(i) + (i === self.chosen ? " chosen" : "") + (exact ? "" : " ghost");
				b.hidden = !exact && i !== self.chosen;
				b.setAttribute("aria-label", fixed(i) ? t("{0} Delete takes it away.", keep.label(i)) : t("{0} Arrow keys move it, shift and arrow keys resize it. Delete takes it away.", keep.label(i)));
				put(b, r);
			}
		}
	};

	// resized is r with one corner dragged by dx and dy.
	const resized = (r, corner, dx, dy) => {
		const low = corner[0] === "s", right = corner[1] === "e";
		const x1 = right ? r.x : r.x + dx, x2 = right ? r.x + r.w + dx : r.x + r.w, y1 = low ? r.y : r.y + dy, y2 = low ? r.y + r.h + dy : r.y + r.h;
		return { x: Math.min(x1, x2), y: Math.min(y1, y2), w: Math.abs(x2 - x1), h: Math.abs(y2 - y1) };
	};

	for (const stage of stages) {
		const layer = document.createElement("div");
		layer.className = "layer";
		stage.append(layer);
		self.layers.push(layer);
		let drag = null;
		layer.addEventListener("pointerdown", (event) => {
			if (event.button || drag) return;
			const box = event.target.closest("[data-box]"), handle = event.target.closest("[data-handle]");
			const draws = !box && keep.draws(event);
			drag = { from: at(layer, event), px: event.clientX, py: event.clientY, moved: false, draws, handle: handle && handle.dataset.handle, i: box ? Number(box.dataset.box) : -1 };
			drag.pressed = keep.press(box || draws);
			if (box || draws) layer.setPointerCapture(event.pointerId);
			if (box) {
				drag.was = { ...keep.rect(drag.i) };
				drag.before = keep.save();
				self.chosen = drag.i;
				keep.show();
				box.focus();
				event.preventDefault();
			}
		});
		layer.addEventListener("pointermove", (event) => {
			if (!drag || (drag.i >= 0 && fixed(drag.i))) return;
			if (!drag.moved && Math.hypot(event.clientX - drag.px, event.clientY - drag.py) < 4) return;
			drag.moved = true;
			const p = at(layer, event), a = drag.from, dx = p.x - a.x, dy = p.y - a.y;
			if (drag.draws) {
				drag.rect = { x: Math.min(a.x, p.x), y: Math.min(a.y, p.y), w: Math.abs(dx), h: Math.abs(dy) };
				if (!drag.shown) {
					drag.shown = document.createElement("div");
					drag.shown.className = "region new";
					layer.append(drag.shown);
				}
				put(drag.shown, drag.rect);
			} else if (drag.i >= 0) {
				const w = drag.was;
				keep.place(drag.i, drag.handle ? { ...w, ...resized(w, drag.handle, dx, dy) } : { ...w, x: w.x + dx, y: w.y + dy });
				self.paint();
			}
		});
		const end = (event) => {
			const d = drag;
			drag = null;
			if (!d) return;
			if (d.shown) d.shown.remove();
			if (event.type === "pointercancel") {
				if (d.before) keep.restore(d.before);
				keep.show();
			} else if (d.draws && d.rect && d.rect.w > 0.008 && d.rect.h > 0.008) {
				keep.drawn(d.rect);
			} else if (d.i >= 0) {
				if (d.moved) keep.moved(d.i, d.before);
				keep.show();
			} else if (!d.moved) {
				keep.tap(d.pressed);
			}
		};
		layer.addEventListener("pointerup", end);
		layer.addEventListener("pointercancel", end);
		layer.addEventListener("keydown", (event) => {
			const box = event.target.closest("[data-box]");
			if (!box || event.ctrlKey || event.metaKey || event.altKey) return;
			const i = Number(box.dataset.box);
			if (event.key === "Delete" || event.key === "Backspace") {
				event.preventDefault();
				return keep.remove(i);
			}
			const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
			if (!way || fixed(i)) return;
			event.preventDefault();
			const r = keep.rect(i), step = 0.01;
			keep.change(event.shiftKey ? t("{0} is resized.", keep.name(i)) : t("{0} is moved.", keep.name(i)), () => {
				self.chosen = i;
				if (event.shiftKey) keep.place(i, { ...r, w: r.w + way[0] * step, h: r.h + way[1] * step });
				else keep.place(i, { ...r, x: r.x + way[0] * step, y: r.y + way[1] * step });
			});
		});
		layer.addEventListener("focusin", (event) => {
			const box = event.target.closest("[data-box]");
			if (!box || self.chosen === Number(box.dataset.box)) return;
			self.chosen = Number(box.dataset.box);
			self.paint();
		});
	}

	// button is a small button of a list of boxes.
	self.button = (words, name, act) => {
		const b = document.createElement("button");
		b.type = "button";
		b.className = "small secondary";
		b.textContent = words;
		b.setAttribute("aria-label", words + ": " + name);
		b.addEventListener("click", act);
		return b;
	};

	// want says whether a finger draws instead of scrolling.
	self.want = (on) => {
		for (const layer of self.layers) layer.classList.toggle("drawing", on);
	};
	return self;
};
