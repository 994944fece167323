// What CLIP reads in the prompt that words and boxes make together; see `read` in ui/words.py.
const facet = window.facet, part = selector => element.querySelector(selector);

function show({prompt = "", chips = [], unknown = [], cut = "", warning = "", said = {present: [], absent: []}}) {
  part(".chips").innerHTML = chips.map(({label, kind, sure}) =>
    `<span class="chip ${kind}" title="${Math.round(100 * sure)} % sure">${facet.escape(label)}</span>`).join("");
  part(".unknown").innerHTML = unknown.length ? `Not understood: ${unknown.map(word => `<b>${facet.escape(word)}</b>`).join(", ")}` : "";
  part(".warning").textContent = [warning, cut].filter(Boolean).join(" ");
  part(".reads").textContent = prompt ? `Prompt: ${prompt}` : "No words, no boxes: any face may come.";
  facet.tell("said", said);
}

facet.understand = () => trigger("ask");
watch("value", () => show(props.value || {}));
show(props.value || {});
