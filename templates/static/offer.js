// The page on which an invited agency hands over its name and keys. The secret of the link leaves
// the address before anything else happens.
"use strict";

const offer = document.getElementById("offer");
const offerForm = offer.querySelector("form");
const invitation = location.hash.slice(1);
if (invitation) history.replaceState(null, "", "/offer");
offerForm.elements.namedItem("t").value = invitation;
offer.querySelector("[data-no-token]").hidden = invitation !== "";

offerForm.addEventListener("cliplease:done", (event) => {
	offer.querySelector("[data-list]").replaceChildren(...event.detail.words.map((words) => {
		const p = document.createElement("p");
		p.className = "check-words";
		p.textContent = words;
		return p;
	}));
	offer.querySelector("[data-ask]").hidden = true;
	const done = offer.querySelector("[data-done]");
	done.hidden = false;
	done.querySelector("h2").focus();
});
