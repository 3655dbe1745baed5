// Elements, found and made.

export const find = <E extends HTMLElement = HTMLElement>(selector: string, within: ParentNode = document): E =>
  within.querySelector<E>(selector)!;

export function make<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  properties: Partial<HTMLElementTagNameMap[K]> = {},
  ...children: (Node | string)[]
): HTMLElementTagNameMap[K] {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

// Put children at the front of their parent in this order, and move none that need not be.
export function keepInOrder(parent: Element, children: Element[]): void {
  let place = parent.firstElementChild;
  for (const child of children) {
    if (child === place) place = place.nextElementSibling;
    else parent.insertBefore(child, place);
  }
}

// Put a menu below what has opened it, within the window; on a phone the style puts it elsewhere.
export function placeAt(menu: HTMLElement, button: Element): void {
  const { right, bottom, top } = button.getBoundingClientRect();
  const { offsetWidth: width, offsetHeight: height } = menu;
  const below = bottom + 6 + height < innerHeight ? bottom + 6 : Math.max(8, top - 6 - height);
  menu.style.setProperty("--top", `${below}px`);
  menu.style.setProperty("--left", `${Math.max(8, right - width)}px`);
}
