// The page that says whether a file was released here. The file is read and hashed piece by
// piece in the browser; only the fingerprint is sent.
"use strict";

const checkForm = document.getElementById("check-form");
const drop = document.getElementById("drop");
const picked = document.getElementById("file");
const piece = 4 << 20; // bytes in memory at a time
let run = 0; // counts files, so that an older one stops when another is chosen

// fingerprint hashes a file; null when another was chosen, or it was stopped.
async function fingerprint(file, mine, progress) {
	const sum = sha256.create();
	for (let at = 0; at < file.size; at += piece) {
		const part = await file.slice(at, at + piece).arrayBuffer();
		if (mine !== run) return null;
		sum.update(part);
		progress(Math.min(100, Math.round(100 * (at + part.byteLength) / file.size)));
		await new Promise((done) => { setTimeout(done); }); // lets the page breathe
	}
	return sum.hex();
}

function when(stamp) {
	return new Intl.DateTimeFormat(document.documentElement.lang, { dateStyle: "full", timeStyle: "long" }).format(new Date(stamp));
}

function tell(sum, answer, name) {
	const box = document.getElementById("result");
	const set = (what, text) => { box.querySelector(`[data-${what}]`).textContent = text; };
	if (!answer.released) {
		set("title", t("Not known here"));
		set("says", t("This relay has not released “{0}” in this form. It may come from somewhere else, or it was changed, cut or converted since.", name));
	} else if (answer.runs) {
		set("title", t("Released here, unchanged"));
		set("says", t("“{0}” is a copy that this relay released, and it is unchanged. Its lease runs until {1}, unless the home ends it before.", name, when(answer.at)));
	} else {
		set("title", t("Released here, unchanged; its lease is over"));
		set("says", t("“{0}” is a copy that this relay released, and it is unchanged. Its lease ended on {1}. The permission to watch it has ended with that.", name, when(answer.at)));
	}
	set("sum", sum);
	box.hidden = false;
	box.focus();
}

async function check(file) {
	const mine = ++run;
	const work = document.getElementById("work");
	const bar = document.getElementById("done");
	cliplease.clear(checkForm);
	document.getElementById("result").hidden = true;
	bar.value = 0;
	work.hidden = false;
	try {
		const sum = await fingerprint(file, mine, (n) => { bar.value = n; });
		if (sum === null) return;
		const answer = await cliplease.post("/check", { sha256: sum });
		if (mine === run) tell(sum, answer, file.name);
	} catch (err) {
		if (mine !== run) return;
		if (err.status === 429) err.message = t("Too many files were checked from here. Wait a minute, then try again.");
		else if (err.name === "NotReadableError" || err.name === "NotFoundError") err.message = t("The file cannot be read. Choose it again.");
		cliplease.show(checkForm, err);
	} finally {
		if (mine === run) work.hidden = true;
	}
}

picked.addEventListener("change", () => { if (picked.files.length) check(picked.files[0]); });
checkForm.addEventListener("submit", (event) => event.preventDefault());
document.getElementById("stop").addEventListener("click", () => {
	run++;
	document.getElementById("work").hidden = true;
	picked.value = "";
	picked.focus();
});
for (const kind of ["dragenter", "dragover"]) {
	addEventListener(kind, (event) => {
		event.preventDefault();
		drop.classList.add("over");
	});
}
for (const kind of ["dragleave", "drop", "dragend"]) addEventListener(kind, () => drop.classList.remove("over"));
addEventListener("drop", (event) => {
	event.preventDefault(); // anywhere on the page: a file beside the mark is not opened instead
	const file = event.dataTransfer && event.dataTransfer.files[0];
	if (!file) return;
	picked.value = "";
	check(file);
});
