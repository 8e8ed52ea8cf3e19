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
	let wanted = false;

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
	const kindOf = (e) => (e.kind !== "box" ? e.kind : e.follow ? "follow" : "stay");
	// What is uncovered cannot be moved: it is where the software found it.
	const fixed = (e) => e.kind === "exception";
	const lanes = new Map([...document.querySelectorAll("[data-uncover]")].map((b) => [b.dataset.uncover, { name: b.dataset.of, keys: JSON.parse(b.dataset.places), button: b }]));
	const keysOf = (e) => (e.track ? lanes.get(e.track).keys : e.keys);
	const kinds = {
		follow: t("Hide it and follow it"),
		stay: t("Hide it, held in place"),
		area: t("Hide this area all the time"),
		outside: t("Hide everything but this"),
	};

	function rectOf(e) {
		if (!fixed(e) && e.kind !== "box") {
			const xs = e.points.map((p) => p.x), ys = e.points.map((p) => p.y);
			const x = Math.min(...xs), y = Math.min(...ys);
			return { x, y, w: Math.max(...xs) - x, h: Math.max(...ys) - y, exact: true };
		}
		const f = frame(), at = moment(f), keys = keysOf(e);
		if (fixed(e) && (f < frameOf(keys[0]) || f > frameOf(keys[keys.length - 1]))) return { ...keys[0], exact: false };
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
		const box = surface.within(r), { x, y } = box;
		if (e.kind !== "box") {
			const right = Math.round((x + box.w) * 1e5) / 1e5, low = Math.round((y + box.h) * 1e5) / 1e5;
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
		change(t("Region {0} is taken away. Undo brings it back.", i + 1), () => {
			edits.splice(i, 1);
			surface.chosen = -1;
		});
		(edits.length ? list.querySelector("button") : drawing).focus();
	}

	function add(r) {
		change(t("Region {0} is drawn. Prepare again to hide it.", edits.length + 1), () => {
			const e = { kind: "box", follow: true, keys: [] };
			place(e, r);
			edits.push(e);
			surface.chosen = edits.length - 1;
			want(false);
		});
	}

	function want(on) {
		wanted = on;
		drawing.setAttribute("aria-pressed", String(on));
		surface.want(on);
		if (on) say(t("Drag over what should be hidden, on either picture."));
	}

	// Both pictures show the same regions.
	const surface = cliplease.surface([...review.querySelectorAll(".stage")], {
		count: () => edits.length,
		rect: (i) => rectOf(edits[i]),
		place: (i, r) => place(edits[i], r),
		save: () => JSON.stringify(edits),
		restore: (text) => { edits = JSON.parse(text); },
		look: (i) => kindOf(edits[i]),
		name: (i) => t("Region {0}", i + 1),
		label: (i) => t("Region {0}", i + 1) + ": " + (fixed(edits[i]) ? t("Uncovered") : kinds[kindOf(edits[i])]) + ".",
		fixed: (i) => fixed(edits[i]),
		draws: (event) => wanted || event.pointerType !== "touch",
		press(takes) {
			const playing = !main.paused;
			if (takes) main.pause();
			return playing;
		},
		tap(playing) {
			if (playing) main.pause();
			else main.play().catch(() => {});
		},
		drawn: add,
		moved(i, before) {
			history.push(before);
			say(t("Region {0} is moved. Prepare again to hide it there.", i + 1));
		},
		change, remove, show,
	});
	main.controls = false;
	const { paint, button } = surface;

	// uncovered is the line of something that is to be shown, with its reason.
	function uncovered(e, i, name) {
		const what = e.track ? lanes.get(e.track).name : e.of === "face" ? t("Face") : t("Plate"), keys = keysOf(e);
		name.className = "strong";
		name.textContent = t("Uncover {0}, {1} to {2}", what, clock(frameOf(keys[0])), clock(frameOf(keys[keys.length - 1]) + 1));
		const out = [name];
		if (e.track) {
			const label = document.createElement("label"), reason = document.createElement("input");
			label.className = "wide";
			label.textContent = t("Why it need not be hidden") + " ";
			reason.type = "text";
			reason.maxLength = 200;
			reason.autocomplete = "off";
			reason.value = e.reason;
			reason.dataset.reason = "";
			const weigh = () => reason.setCustomValidity(reason.value.trim().length < 15 ? t("Say why in 15 characters or more, so that another member can follow.") : "");
			weigh();
			reason.addEventListener("input", () => {
				weigh();
				e.reason = reason.value;
				field.value = JSON.stringify(edits);
			});
			label.append(reason);
			out.push(label);
		} else {
			const why = document.createElement("span");
			why.textContent = "“" + e.reason + "”";
			out.push(why);
		}
		out.push(button(t("Show"), what, () => {
			surface.chosen = i;
			main.pause();
			main.currentTime = keys[Math.floor(keys.length / 2)].at_ns / 1e9;
			paint();
		}), button(t("Hide again"), what, () => remove(i)));
		return out;
	}

	// show brings everything on the page up to what is drawn.
	function show() {
		const focused = list.contains(document.activeElement) ? [...list.querySelectorAll("button, select")].indexOf(document.activeElement) : -1;
		list.replaceChildren(...edits.map((e, i) => {
			const li = document.createElement("li"), name = document.createElement("span"), choice = document.createElement("select"), label = t("Region {0}", i + 1);
			li.className = "row";
			if (fixed(e)) {
				li.append(...uncovered(e, i, name));
				return li;
			}
			name.className = "strong";
			name.textContent = e.kind === "box" ? t("{0}, drawn at {1}", label, e.keys.map((k) => clock(frameOf(k))).join(", ")) : label;
			choice.setAttribute("aria-label", t("What region {0} does", i + 1));
			for (const [value, words] of Object.entries(kinds)) choice.append(new Option(words, value, false, value === kindOf(e)));
			choice.addEventListener("change", () => change(label + ": " + kinds[choice.value] + ".", () => turn(e, choice.value)));
			li.append(name, choice);
			if (e.kind === "box") {
				li.append(button(t("Show"), label, () => {
					surface.chosen = i;
					main.pause();
					main.currentTime = e.keys[0].at_ns / 1e9;
					paint();
				}));
			}
			li.append(button(t("Remove"), label, () => remove(i)));
			return li;
		}));
		if (focused >= 0) {
			const now = list.querySelectorAll("button, select")[focused];
			if (now) now.focus();
		}
		field.value = JSON.stringify(edits);
		const unsent = field.value !== first;
		for (const [track, lane] of lanes) lane.button.hidden = edits.some((e) => e.track === track);
		again.hidden = !unsent;
		undo.hidden = !history.length;
		for (const el of document.querySelectorAll("[data-unsent]")) el.hidden = !unsent;
		for (const b of document.querySelectorAll("[data-first], [data-second]")) b.disabled = unsent;
		paint();
	}

	for (const [track, lane] of lanes) {
		lane.button.addEventListener("click", () => {
			change(t("Say why {0} need not be hidden, and prepare again.", lane.name), () => {
				edits.push({ kind: "exception", track, reason: "" });
				surface.chosen = edits.length - 1;
			});
			main.pause();
			main.currentTime = lane.keys[Math.floor(lane.keys.length / 2)].at_ns / 1e9;
			list.lastElementChild.querySelector("[data-reason]").focus();
		});
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
		surface.layers[0].querySelector("[data-box='" + surface.chosen + "']").focus();
	});
	undo.addEventListener("click", () => {
		edits = JSON.parse(history.pop());
		if (surface.chosen >= edits.length) surface.chosen = -1;
		show();
		say(t("The last change is undone."));
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
