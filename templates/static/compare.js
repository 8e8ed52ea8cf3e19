// The original over the release copy, with a divider between them that is dragged or moved by keyboard.
"use strict";

(() => {
	const review = document.querySelector("[data-review]"), button = review && review.querySelector("[data-swipe]");
	if (!button) return;
	const pair = review.querySelector(".pair"), over = pair.querySelector("[data-beside]").closest(".stage");
	const divider = document.createElement("div");
	divider.className = "divider";
	divider.tabIndex = 0;
	for (const [name, value] of Object.entries({ role: "slider", "aria-label": t("Divider: the release copy on its left, your original on its right"), "aria-valuemin": "0", "aria-valuemax": "100" })) divider.setAttribute(name, value);
	let at = 50;
	const set = (percent) => {
		at = Math.min(100, Math.max(0, percent));
		over.style.clipPath = pair.classList.contains("over") ? "inset(0 0 0 " + at + "%)" : "";
		divider.style.left = at + "%";
		divider.setAttribute("aria-valuenow", String(Math.round(at)));
		divider.setAttribute("aria-valuetext", t("{0} % of the release copy", Math.round(at)));
	};
	button.addEventListener("click", () => {
		const on = pair.classList.toggle("over");
		button.setAttribute("aria-pressed", String(on));
		if (on) review.querySelector("[data-main]").closest(".stage").append(divider);
		else divider.remove();
		set(at);
		if (on) divider.focus();
	});
	let held = false;
	divider.addEventListener("pointerdown", (event) => {
		if (event.button) return;
		held = true;
		divider.setPointerCapture(event.pointerId);
		event.preventDefault();
		divider.focus();
	});
	divider.addEventListener("pointermove", (event) => {
		if (!held) return;
		const b = over.getBoundingClientRect();
		set(100 * (event.clientX - b.left) / b.width);
	});
	for (const end of ["pointerup", "pointercancel"]) divider.addEventListener(end, () => { held = false; });
	divider.addEventListener("keydown", (event) => {
		const to = { ArrowLeft: at - 2, ArrowDown: at - 2, ArrowRight: at + 2, ArrowUp: at + 2, PageDown: at - 10, PageUp: at + 10, Home: 0, End: 100 }[event.key];
		if (to === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
		event.preventDefault();
		set(to);
	});
})();
