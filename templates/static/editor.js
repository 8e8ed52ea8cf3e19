// The editor of a release under review: regions drawn on either picture, each followed from the
// moment at which it was drawn, or held in place. What is drawn goes with the draft when the release
// is prepared again; until then the copy cannot be approved.
"use strict";

(() => {
	const review = document.querySelector("[data-review]"), editor = document.querySelector("form[data-editor]"), draft = document.querySelector("form[data-draft]");
	if (!review || !editor || !draft) return;
	const main = review.querySelector("[data-main]"), fps = Number(review.dataset.fps) || 30;
	const list = editor.querySelector("[data-regions]"), said = editor.querySelector("[data-said]");
	const drawing = editor.querySelector("[data-draw]"), undo = editor.querySelector("[data-undo]"), again = editor.querySelector("[data-again]");
	let edits = JSON.parse(editor.dataset.edits);
	const first = JSON.stringify(edits), history = [];
	let chosen = -1, wanted = false;

	const field = document.createElement("input");
	field.type = "hidden";
	field.name = "edits";
	field.dataset.type = "json";
	draft.append(field);

	// Moments are kept in the middle of their picture, so that rounding never means the one before.
	const frame = () => Math.min(Math.floor(main.currentTime * fps + 0.01), Math.max(0, Math.round((main.duration || 1e9) * fps) - 1));
	const moment = (f) => Math.round((f + 0.5) / fps * 1e9);
	const frameOf = (key) => Math.floor(key.at_ns / 1e9 * fps + 1e-4);
	const clock = (f) => Math.floor(f / fps / 60) + ":" + (f / fps % 60).toFixed(1).padStart(4, "0");
	const round = (v) => Math.round(v * 1e5) / 1e5;
	const kindOf = (e) => (e.kind !== "box" ? e.kind : e.follow ? "follow" : "stay");
	const kinds = {
		follow: "Hide it and follow it",
		stay: "Hide it, held in place",
		area: "Hide this area all the time",
		outside: "Hide everything but this",
	};

	function rectOf(e) {
		if (e.kind !== "box") {
			const xs = e.points.map((p) => p.x), ys = e.points.map((p) => p.y);
			const x = Math.min(...xs), y = Math.min(...ys);
			return { x, y, w: Math.max(...xs) - x, h: Math.max(...ys) - y, exact: true };
		}
		const f = frame(), at = moment(f), keys = e.keys;
		const same = keys.find((k) => frameOf(k) === f);
		if (same) return { ...same, exact: true };
		const next = keys.findIndex((k) => k.at_ns > at);
		if (e.follow) {
			const near = next < 0 ? keys[keys.length - 1] : next === 0 || keys[next].at_ns - at < at - keys[next - 1].at_ns ? keys[next] : keys[next - 1];
			return { ...near, exact: false };
		}
		if (next <= 0) return { ...keys[next < 0 ? keys.length - 1 : 0], exact: true };
		const a = keys[next - 1], b = keys[next], u = (at - a.at_ns) / (b.at_ns - a.at_ns), mix = (n) => a[n] + (b[n] - a[n]) * u;
		return { x: mix("x"), y: mix("y"), w: mix("w"), h: mix("h"), exact: true };
	}

	function place(e, r) {
		const w = Math.min(1, Math.max(0.01, r.w)), h = Math.min(1, Math.max(0.01, r.h));
		const x = round(Math.min(1 - w, Math.max(0, r.x))), y = round(Math.min(1 - h, Math.max(0, r.y)));
		const box = { x, y, w: round(Math.min(w, 1 - x)), h: round(Math.min(h, 1 - y)) };
		if (e.kind !== "box") {
			const right = round(x + box.w), low = round(y + box.h);
			e.points = [{ x, y }, { x: right, y }, { x: right, y: low }, { x, y: low }];
			return;
		}
		const f = frame();
		e.keys = e.keys.filter((k) => frameOf(k) !== f).concat({ at_ns: moment(f), ...box }).sort((a, b) => a.at_ns - b.at_ns);
	}

	function turn(e, kind) {
		const r = rectOf(e), keys = e.keys;
		for (const name of ["keys", "points", "follow"]) delete e[name];
		e.kind = kind === "follow" || kind === "stay" ? "box" : kind;
		if (kind === "follow") e.follow = true;
		if (e.kind === "box" && keys) {
			e.keys = keys;
		} else {
			e.keys = e.kind === "box" ? [] : undefined;
			if (!e.keys) delete e.keys;
			place(e, r);
		}
	}

	const change = (words, act) => {
		history.push(JSON.stringify(edits));
		act();
		show();
		say(words);
	};
	const say = (words) => { said.textContent = words; };

	function remove(i) {
		change("Region " + (i + 1) + " is taken away. Undo brings it back.", () => {
			edits.splice(i, 1);
			chosen = -1;
		});
		(edits.length ? list.querySelector("button") : drawing).focus();
	}

	function add(r) {
		change("Region " + (edits.length + 1) + " is drawn. Prepare again to hide it.", () => {
			const e = { kind: "box", follow: true, keys: [] };
			place(e, r);
			edits.push(e);
			chosen = edits.length - 1;
			want(false);
		});
	}

	function want(on) {
		wanted = on;
		drawing.setAttribute("aria-pressed", String(on));
		for (const s of stages) s.classList.toggle("drawing", on);
		if (on) say("Drag over what should be hidden, on either picture.");
	}

	// One layer lies over each picture and shows the same regions.
	const stages = [...review.querySelectorAll(".stage")].map((stage) => {
		const layer = document.createElement("div");
		layer.className = "layer";
		stage.append(layer);
		return layer;
	});
	main.controls = false;

	for (const layer of stages) {
		let drag = null;
		const at = (event) => {
			const b = layer.getBoundingClientRect();
			return { x: Math.min(1, Math.max(0, (event.clientX - b.left) / b.width)), y: Math.min(1, Math.max(0, (event.clientY - b.top) / b.height)) };
		};
		layer.addEventListener("pointerdown", (event) => {
			if (event.button || drag) return;
			const box = event.target.closest("[data-box]"), handle = event.target.closest("[data-handle]");
			const draws = !box && (wanted || event.pointerType !== "touch");
			drag = { from: at(event), px: event.clientX, py: event.clientY, playing: !main.paused, moved: false, draws, handle: handle && handle.dataset.handle, i: box ? Number(box.dataset.box) : -1 };
			if (box || draws) {
				main.pause();
				layer.setPointerCapture(event.pointerId);
			}
			if (box) {
				drag.was = rectOf(edits[drag.i]);
				drag.before = JSON.stringify(edits);
				chosen = drag.i;
				show();
				box.focus();
				event.preventDefault();
			}
		});
		layer.addEventListener("pointermove", (event) => {
			if (!drag) return;
			if (!drag.moved && Math.hypot(event.clientX - drag.px, event.clientY - drag.py) < 4) return;
			drag.moved = true;
			const p = at(event), a = drag.from, dx = p.x - a.x, dy = p.y - a.y;
			if (drag.draws) {
				drag.rect = { x: Math.min(a.x, p.x), y: Math.min(a.y, p.y), w: Math.abs(dx), h: Math.abs(dy) };
				if (!drag.shown) {
					drag.shown = document.createElement("div");
					drag.shown.className = "region new";
					layer.append(drag.shown);
				}
				put(drag.shown, drag.rect);
			} else if (drag.i >= 0) {
				const w = drag.was, r = { ...w };
				if (!drag.handle) {
					r.x += dx;
					r.y += dy;
				} else {
					const low = drag.handle[0] === "s", right = drag.handle[1] === "e";
					const x1 = right ? w.x : w.x + dx, x2 = right ? w.x + w.w + dx : w.x + w.w, y1 = low ? w.y : w.y + dy, y2 = low ? w.y + w.h + dy : w.y + w.h;
					Object.assign(r, { x: Math.min(x1, x2), y: Math.min(y1, y2), w: Math.abs(x2 - x1), h: Math.abs(y2 - y1) });
				}
				place(edits[drag.i], r);
				paint();
			}
		});
		const end = (event) => {
			const d = drag;
			drag = null;
			if (!d) return;
			if (d.shown) d.shown.remove();
			if (event.type === "pointercancel") {
				if (d.before) edits = JSON.parse(d.before);
				show();
			} else if (d.draws && d.rect && d.rect.w > 0.008 && d.rect.h > 0.008) {
				add(d.rect);
			} else if (d.i >= 0) {
				if (d.moved) {
					history.push(d.before);
					say("Region " + (d.i + 1) + " is moved. Prepare again to hide it there.");
				}
				show();
			} else if (!d.moved && !d.playing) {
				main.play().catch(() => {});
			} else if (!d.moved) {
				main.pause();
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
				return remove(i);
			}
			const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
			if (!way) return;
			event.preventDefault();
			const r = rectOf(edits[i]), step = 0.01;
			change("Region " + (i + 1) + (event.shiftKey ? " is resized." : " is moved."), () => {
				chosen = i;
				if (event.shiftKey) place(edits[i], { ...r, w: r.w + way[0] * step, h: r.h + way[1] * step });
				else place(edits[i], { ...r, x: r.x + way[0] * step, y: r.y + way[1] * step });
			});
		});
		layer.addEventListener("focusin", (event) => {
			const box = event.target.closest("[data-box]");
			if (!box || chosen === Number(box.dataset.box)) return;
			chosen = Number(box.dataset.box);
			paint();
		});
	}

	function put(el, r) {
		el.style.left = 100 * r.x + "%";
		el.style.top = 100 * r.y + "%";
		el.style.width = 100 * r.w + "%";
		el.style.height = 100 * r.h + "%";
	}

	// paint shows the regions of this moment on the pictures.
	function paint() {
		for (const layer of stages) {
			const boxes = [...layer.querySelectorAll("[data-box]")];
			while (boxes.length > edits.length) boxes.pop().remove();
			while (boxes.length < edits.length) {
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
				const r = rectOf(edits[i]);
				b.className = "region " + kindOf(edits[i]) + (i === chosen ? " chosen" : "") + (r.exact ? "" : " ghost");
				b.hidden = !r.exact && i !== chosen;
				b.setAttribute("aria-label", "Region " + (i + 1) + ": " + kinds[kindOf(edits[i])] + ". Arrow keys move it, shift and arrow keys resize it, Delete takes it away.");
				put(b, r);
			}
		}
	}

	const button = (words, name, act) => {
		const b = document.createElement("button");
		b.type = "button";
		b.className = "small secondary";
		b.textContent = words;
		b.setAttribute("aria-label", words + ": " + name);
		b.addEventListener("click", act);
		return b;
	};

	// show brings everything on the page up to what is drawn.
	function show() {
		const focused = list.contains(document.activeElement) ? [...list.querySelectorAll("button, select")].indexOf(document.activeElement) : -1;
		list.replaceChildren(...edits.map((e, i) => {
			const li = document.createElement("li"), name = document.createElement("span"), choice = document.createElement("select"), label = "Region " + (i + 1);
			li.className = "row";
			name.className = "strong";
			name.textContent = label + (e.kind === "box" ? ", drawn at " + e.keys.map((k) => clock(frameOf(k))).join(", ") : "");
			choice.setAttribute("aria-label", "What " + label.toLowerCase() + " does");
			for (const [value, words] of Object.entries(kinds)) choice.append(new Option(words, value, false, value === kindOf(e)));
			choice.addEventListener("change", () => change(label + ": " + kinds[choice.value] + ".", () => turn(e, choice.value)));
			li.append(name, choice);
			if (e.kind === "box") {
				li.append(button("Show", label, () => {
					chosen = i;
					main.pause();
					main.currentTime = e.keys[0].at_ns / 1e9;
					paint();
				}));
			}
			li.append(button("Remove", label, () => remove(i)));
			return li;
		}));
		if (focused >= 0) {
			const now = list.querySelectorAll("button, select")[focused];
			if (now) now.focus();
		}
		field.value = JSON.stringify(edits);
		const unsent = field.value !== first;
		again.hidden = !unsent;
		undo.hidden = !history.length;
		for (const el of document.querySelectorAll("[data-unsent]")) el.hidden = !unsent;
		for (const b of document.querySelectorAll("[data-first], [data-second]")) b.disabled = unsent;
		paint();
	}

	drawing.addEventListener("click", () => {
		want(!wanted);
		if (wanted) {
			main.pause();
			main.scrollIntoView({ block: "center" });
		}
	});
	editor.querySelector("[data-add]").addEventListener("click", () => {
		main.pause();
		add({ x: 0.4, y: 0.4, w: 0.2, h: 0.2 });
		stages[0].querySelector("[data-box='" + chosen + "']").focus();
	});
	undo.addEventListener("click", () => {
		edits = JSON.parse(history.pop());
		if (chosen >= edits.length) chosen = -1;
		show();
		say("The last change is undone.");
		if (undo.hidden) drawing.focus();
	});
	editor.addEventListener("submit", (event) => {
		event.preventDefault();
		cliplease.run(editor, async () => cliplease.follow(await cliplease.post(draft.getAttribute("action"), cliplease.values(draft))));
	});
	document.addEventListener("keydown", (event) => {
		if (event.key === "Escape" && wanted) want(false);
	});
	for (const name of ["timeupdate", "seeked", "seeking", "pause"]) main.addEventListener(name, paint);
	show();
})();
