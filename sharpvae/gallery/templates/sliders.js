// One slider a direction. Python is asked for the next picture as soon as it has answered with the
// last one: no wait after the hand has come to rest, and no queue.
export default function ({ data, parentElement, setStateValue }) {
  const rows = parentElement.querySelector('.rows');
  const state = rows.state ??= { asked: null, wanted: null, serial: null };
  const inputs = () => [...rows.querySelectorAll('input')];
  const show = (input) => {
    input.parentElement.querySelector('output').textContent = Number(input.value).toFixed(1);
  };
  const ask = () => {
    if (state.asked !== null || state.wanted === null) return;
    [state.asked, state.wanted] = [state.wanted, null];
    setStateValue('at', state.asked);
  };
  if (state.serial !== data.serial) { // other directions, or all of them back at 0
    state.serial = data.serial;
    state.asked = state.wanted = null;
    rows.replaceChildren(...data.names.map((name, index) => {
      const row = document.createElement('label');
      row.className = 'row';
      const input = document.createElement('input');
      Object.assign(input, { type: 'range', min: -data.reach, max: data.reach, step: 0.1 });
      input.value = data.at[index];
      input.setAttribute('aria-label', name);
      const title = document.createElement('span');
      title.textContent = name;
      row.append(title, input, document.createElement('output'));
      input.addEventListener('input', () => {
        show(input);
        state.wanted = inputs().map((each) => Number(each.value));
        ask();
      });
      input.addEventListener('dblclick', () => {
        input.value = 0;
        input.dispatchEvent(new Event('input'));
      });
      show(input);
      return row;
    }));
  } else if (state.asked !== null && data.at.join() === state.asked.join()) {
    state.asked = null;
    ask();
  }
}
