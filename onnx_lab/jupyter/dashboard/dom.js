// What the two lists of the dashboard are made with; stands before each of them.
const tag = (name, className, text) => {
  const e = document.createElement(name);
  if (className) e.className = className;
  if (text !== undefined) e.textContent = text;
  return e;
};
