// Uploads, by the tus 1.0 protocol: a file goes in pieces, so that a connection that breaks costs one piece. The upload
// goes on by itself when the connection is back, and after a reload when the same file is chosen again.
"use strict";

for (const form of document.querySelectorAll("form[data-upload]")) {
	const piece = 8 << 20; // bytes of one request
	const silence = 30000, sealing = 180000; // ms without progress after which a connection is taken for dead; the last piece is sealed before it is answered
	const input = form.elements.namedItem("file"), list = form.querySelector("[data-files]"), status = form.querySelector("[role=status]");
	const button = form.querySelector("button:not([type])");
	const begun = [...document.querySelectorAll("[data-unfinished]")].map((el) => ({ el, ...el.dataset }));
	const known = (file) => begun.find((u) => u.name === file.name && Number(u.size) === file.size && Number(u.modified) === file.lastModified);
	const said = (row, text) => { row.querySelector("span").textContent = text; };

	const show = () => list.replaceChildren(...[...input.files].map((file) => {
		const li = document.createElement("li"), bar = document.createElement("progress"), words = document.createElement("span"), old = known(file);
		bar.max = 100;
		bar.value = 0;
		bar.hidden = true;
		bar.setAttribute("aria-label", file.name);
		words.className = "small soft";
		if (old) words.textContent = t("goes on at {0} %, with the camera and start it was begun with", old.percent);
		li.append(file.name + " ", words, bar);
		return li;
	}));
	const choose = (files) => {
		const chosen = new DataTransfer();
		for (const file of files) chosen.items.add(file);
		input.files = chosen.files;
		show();
	};
	const over = (on) => (event) => {
		if (![...event.dataTransfer.types].includes("Files")) return;
		event.preventDefault();
		form.classList.toggle("over", on);
	};
	input.addEventListener("change", show);
	form.addEventListener("dragover", over(true));
	form.addEventListener("dragleave", over(false));
	form.addEventListener("drop", (event) => {
		over(false)(event);
		if (event.dataTransfer.files.length && form.getAttribute("aria-busy") !== "true") choose(event.dataTransfer.files);
	});
	for (const u of begun) {
		u.el.querySelector("[data-go-on]").addEventListener("click", () => {
			form.closest("details").open = true;
			input.click();
		});
	}

	// ask sends one request. A connection that broke or fell silent is status 0.
	const ask = (method, url, headers, body, progress) => new Promise((resolve) => {
		const x = new XMLHttpRequest();
		let quiet;
		const alive = (ms) => {
			clearTimeout(quiet);
			quiet = setTimeout(() => x.abort(), ms);
		};
		const drop = () => x.abort();
		x.open(method, url);
		for (const [name, value] of Object.entries({ "Tus-Resumable": "1.0.0", "Accept": "application/json", ...headers })) x.setRequestHeader(name, value);
		x.upload.onprogress = (e) => {
			alive(silence);
			if (progress) progress(e.loaded);
		};
		x.upload.onload = () => alive(sealing);
		x.onloadend = () => {
			clearTimeout(quiet);
			removeEventListener("offline", drop);
			let json = null;
			try { json = JSON.parse(x.responseText); } catch { /* the protocol's own answers are no JSON */ }
			const at = x.status ? x.getResponseHeader("Upload-Offset") : null;
			resolve({ status: x.status, offset: at === null ? null : Number(at), location: x.status && x.getResponseHeader("Location") || "", error: json && json.error, field: json && json.field || "" });
		};
		addEventListener("offline", drop);
		alive(silence);
		x.send(body);
	});

	// wait ends after ms, or when the browser is online again.
	const wait = (ms) => new Promise((resolve) => {
		const done = () => {
			clearTimeout(timer);
			removeEventListener("online", done);
			resolve();
		};
		const timer = setTimeout(done, ms);
		addEventListener("online", done);
	});

	const text64 = (text) => btoa(String.fromCharCode(...new TextEncoder().encode(text)));
	const metadata = (file) => Object.entries({
		camera: form.elements.namedItem("camera").value, start: form.elements.namedItem("start").value, name: file.name, modified: String(file.lastModified),
	}).map(([name, value]) => name + " " + text64(value)).join(",");

	const span = (seconds) => seconds > 5400 ? t("{0} hours", Math.round(seconds / 3600)) : seconds > 90 ? t("{0} minutes", Math.round(seconds / 60)) : t("{0} seconds", seconds);

	// pace tells how long the rest takes, by the speed of the last half minute.
	const pace = () => {
		let marks = [];
		return (sent, rest) => {
			const now = performance.now();
			if (marks.length && sent < marks[marks.length - 1].sent) marks = [];
			marks.push({ now, sent });
			marks = marks.filter((m) => now - m.now < 30000);
			const first = marks[0], rate = (sent - first.sent) / (now - first.now) * 1000;
			const seconds = Math.round(rest / rate);
			return now - first.now > 500 && Number.isFinite(seconds) && seconds > 1 ? t(", about {0} left", span(seconds)) : "";
		};
	};

	// send brings one file to its end, however often the connection breaks. It throws what the person must mend.
	const send = async (file, row, left) => {
		const bar = row.querySelector("progress"), old = known(file);
		const fail = (text, field) => {
			bar.hidden = true;
			said(row, t("not uploaded"));
			throw Object.assign(new Error(file.name + ": " + text), { field, reason: text });
		};
		if (file.size > Number(form.dataset.max)) fail(t("it is larger than the relay takes."), "file");
		if (file.size === 0) fail(t("the file is empty."), "file");
		let url = old ? "/uploads/" + old.unfinished : "", at = null, lost = 0, faults = 0;
		const eta = left.eta;
		bar.hidden = false;
		for (;;) {
			let answer;
			const making = !url, asking = !making && at === null;
			if (making) {
				answer = await ask("POST", form.getAttribute("action"), { "Content-Type": "application/json", "Upload-Length": String(file.size), "Upload-Metadata": metadata(file) });
			} else if (asking) {
				answer = await ask("HEAD", url, {});
			} else {
				const from = at;
				answer = await ask("PATCH", url, { "Content-Type": "application/offset+octet-stream", "Upload-Offset": String(from) }, file.slice(from, from + piece), (sent) => {
					const now = Math.min(from + sent, file.size);
					bar.value = 100 * now / file.size;
					said(row, now === file.size ? t("being sealed") : Math.floor(bar.value) + " %" + eta(left.done + now, left.all - left.done - now));
				});
			}
			const ok = answer.status >= 200 && answer.status < 300;
			if (ok) {
				lost = faults = 0;
				if (making) {
					url = "/uploads/" + answer.location.split("/").pop(); // asked next how much is there: it may be one that was begun before
				} else if (asking || answer.offset !== null) {
					const last = !asking && answer.offset === file.size;
					at = answer.offset;
					bar.value = 100 * at / file.size;
					if (last) break;
				}
				continue;
			}
			if (answer.status === 401) fail(t("you are signed out. Sign in, and choose the file again: it goes on where it was."), "");
			if (answer.error && answer.status < 500 && answer.status !== 404) fail(answer.error, answer.field);
			if (answer.status === 404 && !making) { // its time was over: from the beginning
				url = "";
				at = null;
				continue;
			}
			if (answer.status === 409) {
				at = null;
				continue;
			}
			if (answer.error && ++faults >= 5) fail(answer.error, "");
			if (answer.status && answer.status < 500 && ++faults >= 5) fail(t("it could not be uploaded ({0}).", answer.status), "");
			said(row, (at === null ? "" : t("{0} % is there.", Math.floor(bar.value)) + " ") + t("The connection is lost; this goes on by itself when it is back."));
			await wait(Math.min(1000 * 2 ** lost++, 30000));
			if (!making) at = null; // what was on its way may have come
		}
		bar.hidden = true;
		said(row, t("uploaded"));
	};

	form.addEventListener("submit", (event) => {
		event.preventDefault();
		cliplease.run(form, async () => {
			const files = [...input.files], failed = [], wrong = [];
			if (files.filter((f) => !known(f)).length > 1 && form.elements.namedItem("start").value) {
				throw Object.assign(new Error(t("Several clips do not start at one moment. Leave this empty, so that the names of the files tell it, or upload them one by one.")), { field: "start" });
			}
			show();
			button.setAttribute("aria-disabled", "true");
			const left = { all: files.reduce((n, f) => n + f.size, 0), done: 0, eta: pace() };
			for (const [i, file] of files.entries()) {
				status.textContent = t("File {0} of {1}", i + 1, files.length);
				try {
					await send(file, list.children[i], left);
				} catch (err) {
					failed.push(file);
					wrong.push(err);
				}
				left.done += file.size;
			}
			status.textContent = "";
			button.removeAttribute("aria-disabled");
			if (!wrong.length) return location.assign("/clips");
			choose(failed);
			if (wrong.length === 1 && files.length === 1) throw wrong[0];
			for (const [i, err] of wrong.entries()) said(list.children[i], err.reason);
			throw new Error(t("{0} of {1} files were uploaded. Beside each of the others is why not; mend that and upload them again.", files.length - failed.length, files.length));
		});
	});
}
