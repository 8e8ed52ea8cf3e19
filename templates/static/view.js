// The pages of recipients: the link's way from the mail to the player, and the player.
"use strict";

// local writes a moment in the viewer's own zone, with the zone named.
function local(stamp) {
	const moment = new Date(stamp);
	if (Number.isNaN(moment.getTime())) return stamp;
	return new Intl.DateTimeFormat(document.documentElement.lang, { dateStyle: "full", timeStyle: "long" }).format(moment);
}

for (const el of document.querySelectorAll("time[data-local]")) {
	const here = local(el.dateTime);
	if (!/\b(UTC|GMT)$/.test(here)) el.textContent = here + " (" + el.textContent + ")";
}

const landing = document.getElementById("landing");
if (landing) {
	// The secret leaves the address before anything else happens. It stays in this script
	// until a person presses the button.
	let token = location.hash.slice(1);
	if (token) history.replaceState(null, "", "/r");

	const step = (name) => {
		for (const el of landing.querySelectorAll("[data-step]")) el.hidden = el.dataset.step !== name;
		const target = landing.querySelector(`[data-step="${name}"] input, [data-step="${name}"] h2`);
		if (target) target.focus();
	};
	// ask sends a form's step; an answer that nothing is available is the end of the way.
	const ask = (form, url, value, then) => cliplease.run(form, async () => {
		try {
			then(await cliplease.post(url, value()));
		} catch (err) {
			if (err.status !== 404) throw err;
			step("gone");
		}
	});
	const on = (id, url, value, then) => {
		const form = document.getElementById(id);
		form.addEventListener("submit", (event) => {
			event.preventDefault();
			ask(form, url, () => value(form), then);
		});
	};
	document.addEventListener("cliplease:done", (event) => { // the page comes again in another language, with its secret
		if (token && "language" in event.target.dataset) history.replaceState(null, "", "/r#" + token);
	});
	addEventListener("hashchange", () => location.reload()); // another link was pasted into the address

	// Without a secret there is nothing to open: ask for the link first.
	document.getElementById("open-form").addEventListener("submit", (event) => {
		const link = document.getElementById("link");
		if (token || link.value.trim()) return;
		event.preventDefault();
		event.stopImmediatePropagation();
		document.getElementById("by-hand").open = true;
		link.focus();
	});
	on("open-form", "/r/open", (form) => {
		const typed = form.elements.t.value.trim().replace(/\s+/g, "");
		return { t: typed ? typed.slice(typed.indexOf("#") + 1) : token };
	}, (body) => {
		token = "";
		for (const el of landing.querySelectorAll("[data-masked]")) el.textContent = body.masked;
		for (const el of landing.querySelectorAll("[data-until]")) {
			el.dateTime = body.until;
			el.textContent = local(body.until);
		}
		step("code");
	});
	on("code-form", "/r/code", () => ({}), () => step("verify"));
	on("again-form", "/r/code", () => ({}), () => step("verify"));
	on("verify-form", "/r/verify", (form) => ({ code: form.elements.code.value }), cliplease.follow);
}

const watch = document.getElementById("watch");
if (watch) {
	const video = watch.querySelector("video");
	const frame = 1 / (Number(watch.dataset.fps) || 30);
	let over = false;

	// end takes the picture away. What a browser has in its memory is not ours to delete.
	const end = () => {
		if (over) return;
		over = true;
		clearInterval(timer);
		video.pause();
		video.removeAttribute("src");
		video.load();
		document.getElementById("player").hidden = true;
		const section = document.getElementById("over");
		section.hidden = false;
		section.querySelector("h2").focus();
	};
	// look asks whether the view still stands. An answer other than "no" is not an end: the
	// network may only be away.
	const look = async () => {
		try {
			const answer = await fetch(watch.dataset.media + "/state", { cache: "no-store", credentials: "same-origin" });
			if (answer.status === 404) end();
		} catch { /* offline */ }
	};
	const timer = setInterval(look, 3000);
	video.addEventListener("error", () => { if (!over) look(); });
	document.addEventListener("visibilitychange", () => { if (!document.hidden) look(); });

	const move = (n) => {
		video.pause();
		video.currentTime = Math.min(Math.max(0, video.currentTime + n * frame), video.duration || 0);
	};
	for (const b of watch.querySelectorAll("[data-frame]")) b.addEventListener("click", () => move(Number(b.dataset.frame)));
	const speed = watch.querySelector("[data-speed]");
	speed.addEventListener("change", () => { video.playbackRate = Number(speed.value); });
	document.addEventListener("keydown", (event) => {
		if (event.target.closest("input, select, textarea, button") || event.ctrlKey || event.metaKey || event.altKey) return;
		if (event.key === ",") move(-1);
		else if (event.key === ".") move(1);
		else if (event.key === " " && event.target !== video) {
			event.preventDefault();
			if (video.paused) video.play(); else video.pause();
		}
	});
	const more = watch.querySelector("[data-more]");
	if (more) more.addEventListener("cliplease:done", () => {
		more.hidden = true;
		document.getElementById("asked").hidden = false;
	});
}
