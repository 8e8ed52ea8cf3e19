// What every page of cliplease does in the browser. Forms marked data-post are sent as JSON
// to their own origin; an answer of {"location"} is followed, {"error","field"} is shown
// beside the field, and what was typed stays. Text is only ever set as text.
"use strict";

// t is an English message in the page's language, {0}, {1}, … filled with args. Pages in another language than English
// load its messages before this script.
const t = (message, ...args) => {
	const found = typeof messages === "object" && messages[message] || message;
	return found.replace(/\{(\d)\}/g, (_, i) => String(args[i]));
};

const cliplease = {
	// values reads a form as JSON. data-type on a field says what it is: "int", "bool" (anything typed), "list" (each
	// checked box adds its value), "lines" (one entry a line) or "json". A lone checkbox is a boolean.
	values(form) {
		const out = {};
		for (const el of form.elements) {
			if (!el.name || el.disabled || el.type === "file" || el.type === "submit" || el.type === "button") continue;
			if (el.dataset.type === "list") {
				out[el.name] = out[el.name] || [];
				if (el.checked) out[el.name].push(el.value);
			} else if (el.type === "checkbox") {
				out[el.name] = el.checked;
			} else if (el.type === "radio") {
				if (el.checked) out[el.name] = el.value;
				else if (!(el.name in out)) out[el.name] = "";
			} else if (el.dataset.type === "bool") {
				out[el.name] = el.value !== "";
			} else if (el.dataset.type === "int") {
				const n = Number(el.value);
				out[el.name] = el.value.trim() !== "" && Number.isInteger(n) ? n : 0;
			} else if (el.dataset.type === "lines") {
				out[el.name] = el.value.split(/[\n,]/).map((s) => s.trim()).filter(Boolean);
			} else if (el.dataset.type === "json") {
				out[el.name] = JSON.parse(el.value);
			} else {
				out[el.name] = el.value;
			}
		}
		return out;
	},

	// post sends value as JSON and returns the answer. It throws an Error with the sentence
	// for the person, and with field when one field is to blame.
	async post(url, value) {
		let response;
		try {
			response = await fetch(url, {
				method: "POST", credentials: "same-origin", cache: "no-store", redirect: "error",
				headers: { "Content-Type": "application/json", "Accept": "application/json" },
				body: JSON.stringify(value || {}),
			});
		} catch {
			throw new Error(t("The relay cannot be reached. Check that it runs and that you are online, then try again."));
		}
		let body = {};
		try {
			body = await response.json();
		} catch { /* an answer without a body */ }
		if (!response.ok) {
			const err = new Error(body.error || t("That did not work ({0}). Load the page again and retry.", response.status));
			err.field = body.field || "";
			err.status = response.status;
			throw err;
		}
		return body;
	},

	// clear takes away what an earlier try showed.
	clear(form) {
		for (const el of form.querySelectorAll("[aria-invalid]")) {
			el.removeAttribute("aria-invalid");
			el.removeAttribute("aria-describedby");
		}
		for (const el of form.querySelectorAll("p.error")) el.remove();
	},

	// show puts an error beside the field it is about, or above the form's buttons.
	show(form, err) {
		const p = document.createElement("p");
		p.className = "error";
		p.setAttribute("role", "alert");
		p.textContent = err.message;
		let field = null;
		if (err.field) field = form.elements.namedItem(err.field);
		if (field instanceof RadioNodeList) field = field[0];
		if (!field || field.type === "hidden") {
			const last = form.querySelector(".form-error") || form;
			last.append(p);
			return;
		}
		p.id = "error-" + err.field.replace(/[^a-z0-9]/gi, "-");
		field.setAttribute("aria-invalid", "true");
		field.setAttribute("aria-describedby", p.id);
		(field.closest("fieldset, .field") || field.parentElement).append(p);
		const fold = field.closest("details");
		if (fold) fold.open = true;
		field.focus();
	},

	// follow goes where an answer says, or shows what it says.
	follow(body) {
		if (typeof body.location !== "string" || !body.location.startsWith("/") || body.location.startsWith("//")) return;
		const here = location.pathname + location.search;
		const [there] = body.location.split("#");
		if (there === here) {
			if (body.location.includes("#")) location.hash = body.location.slice(there.length);
			location.reload();
		} else {
			location.assign(body.location);
		}
	},

	// run does work for a form: busy while it lasts, the error shown when it fails.
	async run(form, work) {
		if (form.getAttribute("aria-busy") === "true") return;
		cliplease.clear(form);
		form.setAttribute("aria-busy", "true");
		try {
			await work();
		} catch (err) {
			cliplease.show(form, err);
		} finally {
			form.removeAttribute("aria-busy");
		}
	},
};

document.addEventListener("submit", (event) => {
	const form = event.target;
	if (!form.matches("form[data-post]")) return;
	event.preventDefault();
	const values = cliplease.values(form);
	if (event.submitter && event.submitter.name) values[event.submitter.name] = event.submitter.value;
	cliplease.run(form, async () => {
		const body = await cliplease.post(form.getAttribute("action"), values);
		form.dispatchEvent(new CustomEvent("cliplease:done", { bubbles: true, detail: body }));
		if ("language" in form.dataset) location.reload();
		cliplease.follow(body);
	});
});

// On a wide screen the menu is always open; on a phone it closes when focus leaves it.
const menu = document.querySelector("details.menu");
if (menu) {
	const wide = matchMedia("(min-width: 56rem)");
	const fit = () => { menu.open = wide.matches; };
	wide.addEventListener("change", fit);
	fit();
	document.addEventListener("click", (event) => {
		if (!wide.matches && menu.open && !menu.contains(event.target)) menu.open = false;
	});
	document.addEventListener("keydown", (event) => {
		if (event.key === "Escape" && !wide.matches) menu.open = false;
	});
}

// While the browser knows that it is offline, every page says so above its content. The region is there from the
// start, empty, since a screen reader reads out only what changes in a region that it has seen.
const offline = document.createElement("p");
offline.className = "offline";
offline.setAttribute("role", "status");
document.body.prepend(offline);
const tellOffline = () => {
	offline.textContent = navigator.onLine ? "" : t("You are offline. What is on this page may be old, and what you press may not reach the relay until you are online again.");
};
addEventListener("offline", tellOffline);
addEventListener("online", tellOffline);
tellOffline();
