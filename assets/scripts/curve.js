// The schedule's curve, of noise levels at evenly spaced times: x is the time from 1 to 0, y the noise level.
// Draws it and returns what moves its dot to a noise level.
window.facet.curve = (player, schedule) => {
  const dot = player.querySelector(".dot"),
    place = index => [(64 * index) / (schedule.length - 1), 24 - 24 * schedule[index]];
  const points = schedule.map((_, index) => place(index).join(","));
  player.querySelector(".line").setAttribute("points", points.join(" "));
  dot.setAttribute("cy", 0);

  return level => {
    const passed = schedule.findIndex(value => value <= level),
      after = Math.max(1, passed);
    const [high, low] = [schedule[after - 1], schedule[after]],
      share = high > low ? (high - level) / (high - low) : 1;
    dot.setAttribute("cx", (64 * (after - 1 + Math.min(1, Math.max(0, share)))) / (schedule.length - 1));
    dot.setAttribute("cy", 24 - 24 * level);
  };
};
