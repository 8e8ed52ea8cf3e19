// What the homeowner's pages do beyond plain forms: passkeys, waiting for a release copy, and two
// videos that run side by side.
"use strict";

// Passkeys. The relay speaks WebAuthn's JSON, browsers older than 2025 speak bytes.
const bytes = (text) => Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (c) => c.charCodeAt(0)).buffer;
const text64 = (buffer) => btoa(String.fromCharCode(...new Uint8Array(buffer))).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");

function decode(options) {
	const out = { ...options, challenge: bytes(options.challenge) };
	if (options.user) out.user = { ...options.user, id: bytes(options.user.id) };
	for (const list of ["excludeCredentials", "allowCredentials"]) {
		if (options[list]) out[list] = options[list].map((c) => ({ ...c, id: bytes(c.id) }));
	}
	return out;
}

function encode(credential) {
	if (typeof credential.toJSON === "function") {
		const json = credential.toJSON();
		if (Object.keys(json).length) return json;
	}
	const r = credential.response, response = { clientDataJSON: text64(r.clientDataJSON) };
	if (r.attestationObject) {
		response.attestationObject = text64(r.attestationObject);
		if (r.getTransports) response.transports = r.getTransports();
	} else {
		response.authenticatorData = text64(r.authenticatorData);
		response.signature = text64(r.signature);
		if (r.userHandle) response.userHandle = text64(r.userHandle);
	}
	return {
		id: credential.id, rawId: text64(credential.rawId), type: credential.type, response,
		authenticatorAttachment: credential.authenticatorAttachment || undefined, clientExtensionResults: credential.getClientExtensionResults(),
	};
}

async function passkey(kind, begun) {
	if (!window.PublicKeyCredential) throw new Error(t("This browser cannot use passkeys. Try a newer one, or your phone."));
	try {
		const publicKey = decode(begun.publicKey);
		return encode(kind === "create" ? await navigator.credentials.create({ publicKey }) : await navigator.credentials.get({ publicKey }));
	} catch (err) {
		if (err.name === "InvalidStateError") throw new Error(t("This device has a passkey for this home already."));
		if (err.name === "NotAllowedError") throw new Error(t("No passkey was used. Try again, and confirm with your fingerprint, face or PIN."));
		throw new Error(t("The passkey did not work: {0}", err.message));
	}
}

for (const form of document.querySelectorAll("form[data-passkey]")) {
	const kind = form.dataset.passkey, twoSteps = "twoSteps" in form.dataset;
	let begun = null;
	const finish = async () => {
		const values = cliplease.values(form);
		const credential = await passkey(kind, begun);
		const ceremony = begun.ceremony;
		begun = null;
		cliplease.follow(await cliplease.post(form.dataset.finish, { ...values, ceremony, credential }));
	};
	const rest = (first) => {
		if (!twoSteps) return;
		form.querySelector("[data-check]").hidden = first;
		form.querySelector("[data-first]").hidden = !first;
		form.querySelector("[data-second]").hidden = first;
	};
	form.addEventListener("submit", (event) => {
		event.preventDefault();
		cliplease.run(form, async () => {
			try {
				if (!begun) {
					begun = await cliplease.post(form.getAttribute("action"), cliplease.values(form));
					if (twoSteps) {
						form.querySelector("[data-words]").textContent = begun.check_words;
						rest(false);
						form.querySelector("[data-second]").focus();
						return;
					}
				}
				await finish();
			} catch (err) {
				begun = null;
				rest(true);
				throw err;
			}
		});
	});
}

// The invitation's token is in the fragment. It is taken out of the address at once.
const join = document.querySelector("form[data-join]");
if (join) {
	const token = location.hash.slice(1);
	join.elements.token.value = token;
	if (token) {
		history.replaceState(null, "", location.pathname);
	} else {
		join.hidden = true;
		document.querySelector("[data-no-token]").hidden = false;
	}
}

// A request that a member opens is marked as seen, for the home alone.
const unseen = document.querySelector("[data-seen]");
if (unseen && unseen.dataset.seen) cliplease.post(unseen.dataset.seen).catch(() => {});

// The window follows the chosen clip.
for (const form of document.querySelectorAll("form[data-draft]")) {
	form.addEventListener("change", (event) => {
		const clip = event.target;
		if (clip.name !== "clip") return;
		for (const end of ["from", "to"]) {
			const field = form.elements.namedItem(end);
			field.min = clip.dataset.min;
			field.max = clip.dataset.max;
			field.value = clip.dataset[end];
		}
	});
}

// The eight words of a key are compared before an agency is registered.
for (const form of document.querySelectorAll("form[data-compare]")) {
	const words = form.querySelector("[data-words]"), agree = form.querySelector("[data-agree]"), button = form.querySelector("button");
	const compared = form.elements.namedItem("compared");
	const again = () => {
		words.hidden = true;
		compared.value = "";
		agree.checked = false;
		button.disabled = false;
		button.textContent = t("Show the words to compare");
	};
	form.elements.namedItem("jwks").addEventListener("input", again);
	agree.addEventListener("change", () => {
		compared.value = agree.checked ? "yes" : "";
		button.disabled = !agree.checked;
	});
	form.addEventListener("cliplease:done", (event) => {
		if (!event.detail.compare) return;
		const list = form.querySelector("[data-list]");
		list.replaceChildren(...event.detail.compare.map((key) => {
			const p = document.createElement("p");
			p.className = "check-words";
			p.textContent = key.words;
			return p;
		}));
		words.hidden = false;
		button.textContent = t("Register the agency");
		button.disabled = true;
		form.elements.namedItem("how").focus();
	});
}

// An invitation's link is shown once.
for (const form of document.querySelectorAll("form[data-invite]")) {
	form.addEventListener("cliplease:done", (event) => {
		const box = form.querySelector("[data-link]");
		box.querySelector(".secret").textContent = event.detail.link;
		box.hidden = false;
	});
}

// Recovery codes are shown once.
for (const form of document.querySelectorAll("form[data-codes]")) {
	const made = document.querySelector("[data-made]");
	form.addEventListener("cliplease:done", (event) => {
		made.querySelector("[data-list]").replaceChildren(...event.detail.codes.map((code) => {
			const li = document.createElement("li");
			li.textContent = code;
			return li;
		}));
		form.hidden = true;
		made.hidden = false;
		made.querySelector("[data-print]").focus();
	});
	made.querySelector("[data-print]").addEventListener("click", () => window.print());
}

// A new camera is probably where the browser is.
const zone = document.querySelector("[data-own-zone]");
if (zone) zone.value = Intl.DateTimeFormat().resolvedOptions().timeZone || zone.value;

// Waiting: the page asks how far things are, and loads anew when there is something to see.
for (const el of document.querySelectorAll("[data-poll]")) {
	const ask = async () => {
		try {
			const response = await fetch(el.dataset.poll, { credentials: "same-origin", cache: "no-store", headers: { "Accept": "application/json" } });
			if (response.status === 401) return location.assign("/sign-in");
			const now = await response.json();
			if (now.state !== el.dataset.phase || el.dataset.views !== undefined && String(now.views) !== el.dataset.views) return location.reload();
			const bar = el.querySelector("progress");
			if (bar) {
				bar.value = now.progress;
				el.querySelector("[data-progress]").textContent = now.progress + " %";
			}
		} catch { /* offline for a moment: ask again */ }
		setTimeout(ask, el.dataset.phase === "live" ? 5000 : 1000);
	};
	setTimeout(ask, 1000);
}

// The list of leases: numbers change in place, and are said; what is shared is drawn anew when it is another.
const leases = document.querySelector("[data-leases]");
if (leases) {
	const said = leases.querySelector("[data-said]");
	const put = (el, text) => { if (el.textContent !== text) el.textContent = text; };
	const ask = async () => {
		try {
			if (!document.hidden) {
				const response = await fetch(leases.dataset.leases, { credentials: "same-origin", cache: "no-store", headers: { "Accept": "application/json" } });
				if (response.status === 401) return location.assign("/sign-in");
				const now = await response.json();
				if (now.mark !== leases.dataset.mark && !document.activeElement.matches("input, select, textarea")) return location.reload();
				for (const lease of now.leases) {
					const row = leases.querySelector("[data-lease='" + lease.id + "']");
					if (!row) continue;
					const watched = row.querySelector("[data-watched]"), list = row.querySelector("[data-viewings]");
					if (watched.textContent !== lease.watched) said.textContent = lease.name + ": " + lease.watched;
					put(watched, lease.watched);
					while (list.children.length > lease.views.length) list.lastChild.remove();
					while (list.children.length < lease.views.length) list.append(document.createElement("li"));
					lease.views.forEach((words, i) => put(list.children[i], words));
				}
			}
		} catch { /* offline for a moment: ask again */ }
		setTimeout(ask, 5000);
	};
	setTimeout(ask, 2000);
}

// Videos below a fold are loaded when it is opened.
for (const fold of document.querySelectorAll("details[data-lazy]")) {
	fold.addEventListener("toggle", () => {
		for (const video of fold.querySelectorAll("video[data-src]")) {
			if (fold.open && !video.src) video.src = video.dataset.src;
			if (!fold.open) video.pause();
		}
	});
}

// Review: the release copy leads, the original follows within a picture.
const review = document.querySelector("[data-review]");
if (review) {
	const main = review.querySelector("[data-main]"), beside = review.querySelector("[data-beside]");
	const play = review.querySelector("[data-play]"), clock = review.querySelector("[data-clock]");
	const frame = 1 / (Number(review.dataset.fps) || 30);
	const scrub = review.querySelector("[data-scrub]"), heads = review.querySelectorAll("[data-head]");
	const moments = [...document.querySelectorAll("[data-doubts] [data-seek]")].map((b) => Number(b.dataset.seek)).sort((a, b) => a - b);
	const follow = () => {
		if (beside && Math.abs(beside.currentTime - main.currentTime) > (main.paused ? frame / 2 : 0.1)) beside.currentTime = main.currentTime;
		if (scrub) scrub.value = main.currentTime;
		for (const line of heads) for (const end of ["x1", "x2"]) line.setAttribute(end, main.currentTime);
		clock.textContent = Math.floor(main.currentTime / 60) + ":" + (main.currentTime % 60).toFixed(1).padStart(4, "0");
	};
	const seek = (t) => {
		main.pause();
		main.currentTime = Math.max(0, Math.min(t, main.duration || t));
	};
	const jump = (way) => {
		const t = main.currentTime;
		const next = way > 0 ? moments.find((m) => m > t + 0.05) : moments.findLast((m) => m < t - 0.05);
		if (next !== undefined) seek(next);
	};
	main.addEventListener("play", () => {
		play.textContent = t("Pause both");
		if (beside) beside.play().catch(() => {});
	});
	main.addEventListener("pause", () => {
		play.textContent = t("Play both");
		if (beside) beside.pause();
		follow();
	});
	main.addEventListener("timeupdate", follow);
	main.addEventListener("seeked", follow);
	main.addEventListener("seeking", follow);
	play.addEventListener("click", () => (main.paused ? main.play().catch(() => {}) : main.pause()));
	for (const button of review.querySelectorAll("[data-frame]")) {
		button.addEventListener("click", () => seek(main.currentTime + Number(button.dataset.frame) * frame));
	}
	for (const button of document.querySelectorAll("[data-seek]")) {
		button.addEventListener("click", () => {
			seek(Number(button.dataset.seek));
			if (!review.contains(button)) main.scrollIntoView({ block: "center" });
		});
	}
	for (const button of review.querySelectorAll("[data-jump]")) button.addEventListener("click", () => jump(Number(button.dataset.jump)));
	if (scrub) scrub.addEventListener("input", () => seek(Number(scrub.value)));
	// A lane goes to where it is touched, or to the mark beside that place.
	for (const lane of review.querySelectorAll("[data-lane]")) {
		lane.addEventListener("click", (event) => {
			const b = lane.getBoundingClientRect(), length = lane.viewBox.baseVal.width, t = (event.clientX - b.left) / b.width * length;
			const marks = [...lane.querySelectorAll("[data-mark]")].map((m) => Number(m.dataset.mark));
			seek(marks.find((m) => Math.abs(m - t) / length * b.width < 14) ?? t);
		});
	}
	review.querySelector("[data-speed]").addEventListener("change", (event) => {
		main.playbackRate = Number(event.target.value);
		if (beside) beside.playbackRate = main.playbackRate;
	});
	const copies = review.querySelector("[data-copy]");
	if (copies) copies.addEventListener("change", () => { main.src = copies.value; });
	document.addEventListener("keydown", (event) => {
		if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, select, textarea, button, video, summary, a")) return;
		const act = { " ": () => play.click(), ",": () => seek(main.currentTime - frame), ".": () => seek(main.currentTime + frame), "j": () => jump(-1), "k": () => jump(1) }[event.key];
		if (!act) return;
		event.preventDefault();
		act();
	});
}
