// The box for a rule written by hand: the condition is checked while it is typed, and tried on
// the requests that have come.
"use strict";

(() => {
	const box = document.querySelector("[data-try]");
	const out = document.querySelector("[data-tried]");
	if (!box || !out) return;
	let timer = 0, turn = 0;
	const say = (text, bad) => {
		out.replaceChildren();
		const p = document.createElement("p");
		p.className = bad ? "error" : "small";
		p.textContent = text;
		out.append(p);
	};
	const tryOut = async () => {
		const mine = ++turn;
		if (!box.value.trim()) {
			out.replaceChildren();
			return;
		}
		let answer;
		try {
			answer = await cliplease.post("/rules/try", { when: box.value });
		} catch (err) {
			if (mine === turn) say(err.message, true);
			return;
		}
		if (mine !== turn) return;
		const n = answer.matches.length;
		say((answer.tried === 0 ? t("This can be used. No request has come yet on which to try it.") :
			t("This can be used. It would have applied to {0} of the last {1} requests.", n, answer.tried)) +
			(answer.failed ? " " + t("On {0} it could not be evaluated; they would have been held.", answer.failed) : ""), false);
		const ul = document.createElement("ul");
		ul.className = "plain small";
		for (const m of answer.matches.slice(0, 10)) {
			const li = document.createElement("li"), a = document.createElement("a");
			a.href = m.location;
			a.textContent = m.words;
			li.append(a);
			ul.append(li);
		}
		if (n) out.append(ul);
	};
	box.addEventListener("input", () => {
		clearTimeout(timer);
		timer = setTimeout(tryOut, 350);
	});
	const effect = document.querySelector("[data-effect]");
	const show = () => {
		for (const el of document.querySelectorAll("[data-of]")) el.hidden = el.dataset.of !== effect.value;
	};
	effect.addEventListener("change", show);
	show();
})();
