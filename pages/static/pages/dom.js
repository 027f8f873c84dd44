// Elements and text. Text from the feed or a user only ever becomes a text node, never markup.

export const byId = (id) => document.getElementById(id);

/** A new element. `properties` are attributes, except `class`, `dataset` (an object) and `on` (listeners by
 *  event); null, false and undefined leave an attribute out. Children are nodes or text. */
export function el(name, properties = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key === "class") element.className = value;
    else if (key === "dataset") Object.assign(element.dataset, value);
    else if (key === "on") for (const [type, listener] of Object.entries(value)) element.addEventListener(type, listener);
    else setAttribute(element, key, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/** Set an attribute, or remove it for null, false and undefined. An unchanged one is not touched. */
export function setAttribute(element, name, value) {
  if (value === null || value === undefined || value === false) element.removeAttribute(name);
  else if (element.getAttribute(name) !== String(value)) element.setAttribute(name, value === true ? "" : value);
}

/** Set a node's text. An unchanged text is not touched: screen readers announce changes. */
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

/** Make the children of `container` those of `items`, in order, and keep the elements that stay: a button that
 *  has the focus keeps it. `keyOf(item)` is unique, `create(item)` makes an element, `update(element, item)`
 *  fills it. */
export function keyedList(container, items, { keyOf, create, update }) {
  const old = new Map([...container.children].map((child) => [child.dataset.key, child]));
  let place = container.firstElementChild;
  for (const item of items) {
    const key = String(keyOf(item));
    let element = old.get(key);
    if (element) old.delete(key);
    else {
      element = create(item);
      element.dataset.key = key;
    }
    if (element === place) place = place.nextElementSibling;
    else container.insertBefore(element, place);
    update(element, item);
  }
  for (const element of old.values()) element.remove();
}
