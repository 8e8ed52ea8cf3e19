// The masks of a camera, drawn on a still of it. Nothing is kept until they are saved.
"use strict";

(() => {
	const form = document.querySelector("form[data-masks]");
	if (!form) return;
	const stage = form.querySelector(".stage"), list = form.querySelector("[data-list]"), drawing = form.querySelector("[data-draw]"), undo = form.querySelector("[data-undo]");
	const said = form.querySelector("[data-said]"), share = form.querySelector("[data-share]"), unsaved = form.querySelector("[data-unsaved]"), save = form.querySelector("[data-save]");
	let masks = JSON.parse(form.dataset.masks), wanted = false, left = false;
	const first = JSON.stringify(masks), history = [];
	const fields = [["x", t("From the left")], ["y", t("From the top")], ["w", t("Width")], ["h", t("Height")]];
	const name = (i) => t("Mask {0}", i + 1);
	const say = (words) => { said.textContent = words; };

	// hidden is how much of the picture the masks hide; where they overlap it counts once.
	function hidden() {
		const edges = (a, b) => [...new Set(masks.flatMap((m) => [m[a], m[a] + m[b]]))].sort((p, q) => p - q);
		const xs = edges("x", "w"), ys = edges("y", "h");
		let sum = 0;
		for (let i = 1; i < xs.length; i++) {
			for (let k = 1; k < ys.length; k++) {
				const x = (xs[i - 1] + xs[i]) / 2, y = (ys[k - 1] + ys[k]) / 2;
				if (masks.some((m) => m.x < x && x < m.x + m.w && m.y < y && y < m.y + m.h)) sum += (xs[i] - xs[i - 1]) * (ys[k] - ys[k - 1]);
			}
		}
		return sum;
	}

	const change = (words, act) => {
		history.push(JSON.stringify(masks));
		act();
		show();
		say(words);
	};

	function remove(i) {
		change(t("{0} is taken away. Undo brings it back.", name(i)), () => {
			masks.splice(i, 1);
			surface.chosen = -1;
		});
		drawing.focus();
	}

	function add(r) {
		change(t("{0} is drawn. Give it a name.", name(masks.length)), () => {
			masks.push({ name: "", ...surface.within(r) });
			surface.chosen = masks.length - 1;
			want(false);
		});
	}

	function want(on) {
		wanted = on;
		drawing.setAttribute("aria-pressed", String(on));
		surface.want(on);
		if (on) say(t("Drag over what should never be seen."));
	}

	const surface = cliplease.surface([stage], {
		count: () => masks.length,
		rect: (i) => masks[i],
		place: (i, r) => { Object.assign(masks[i], surface.within(r)); },
		save: () => JSON.stringify(masks),
		restore: (text) => { masks = JSON.parse(text); },
		look: () => "mask",
		name,
		label: (i) => name(i) + (masks[i].name ? ", " + masks[i].name : "") + ".",
		draws: (event) => wanted || event.pointerType !== "touch",
		press: () => undefined,
		tap() {},
		drawn(r) {
			add(r);
			list.lastElementChild.querySelector("input").focus();
		},
		moved(i, before) {
			history.push(before);
			say(t("{0} is moved.", name(i)));
		},
		change, remove, show,
	});

	function row(i) {
		const li = document.createElement("li"), grid = document.createElement("div");
		li.className = "mask-row";
		grid.className = "places";
		const field = (words, input) => {
			const label = document.createElement("label"), text = document.createElement("span");
			label.className = "field";
			text.className = "label small";
			text.textContent = words;
			input.setAttribute("aria-label", name(i) + ", " + words);
			label.append(text, input);
			return label;
		};
		const called = document.createElement("input");
		called.required = true;
		called.maxLength = 60;
		called.placeholder = t("the neighbours’ window");
		called.addEventListener("change", () => change(t("{0} is named.", name(i)), () => { masks[i].name = called.value.trim(); }));
		for (const [key, words] of fields) {
			const input = document.createElement("input");
			Object.assign(input, { type: "number", min: key === "w" || key === "h" ? "1" : "0", max: "100", step: "any" });
			input.addEventListener("change", () => {
				const share = Number(input.value) / 100;
				change(t("{0} is moved.", name(i)), () => { Object.assign(masks[i], surface.within({ ...masks[i], [key]: share })); });
			});
			grid.append(field(words + ", %", input));
		}
		li.append(field(t("Name of mask {0}", i + 1), called), grid, surface.button(t("Remove"), name(i), () => remove(i)));
		return li;
	}

	// show brings everything on the page up to what is drawn.
	function show() {
		while (list.children.length > masks.length) list.lastElementChild.remove();
		while (list.children.length < masks.length) list.append(row(list.children.length));
		for (const [i, m] of masks.entries()) {
			const [called, ...places] = list.children[i].querySelectorAll("input");
			called.value = m.name;
			for (const [k, [key]] of fields.entries()) places[k].value = String(Math.round(m[key] * 1e4) / 100);
		}
		const text = JSON.stringify(masks);
		unsaved.hidden = text === first;
		save.disabled = text === first;
		undo.hidden = !history.length;
		share.textContent = (100 * hidden()).toFixed(1) + " %";
		surface.paint();
	}

	drawing.addEventListener("click", () => {
		want(!wanted);
		if (wanted) stage.scrollIntoView({ block: "center" });
	});
	form.querySelector("[data-add]").addEventListener("click", () => {
		add({ x: 0.4, y: 0.4, w: 0.2, h: 0.2 });
		stage.querySelector("[data-box='" + surface.chosen + "']").focus();
	});
	undo.addEventListener("click", () => {
		masks = JSON.parse(history.pop());
		if (surface.chosen >= masks.length) surface.chosen = -1;
		show();
		say(t("The last change is undone."));
		if (undo.hidden) drawing.focus();
	});
	for (const pick of form.querySelectorAll("[data-pick]")) {
		pick.addEventListener("click", () => {
			stage.querySelector("img").src = pick.dataset.pick;
			for (const other of form.querySelectorAll("[data-pick]")) other.setAttribute("aria-pressed", String(other === pick));
		});
	}
	form.addEventListener("submit", (event) => {
		event.preventDefault();
		cliplease.run(form, async () => {
			const answer = await cliplease.post(form.getAttribute("action"), { masks, version: Number(form.dataset.version) });
			left = true;
			cliplease.follow(answer);
		});
	});
	document.addEventListener("keydown", (event) => {
		if (event.key === "Escape" && wanted) want(false);
	});
	addEventListener("beforeunload", (event) => {
		if (!unsaved.hidden && !left) event.preventDefault();
	});
	show();
})();
