// Who is here: a flag of the bunting for each, and who this window may be.

import type { Person, User } from "./api.ts";
import { find, keepInOrder, make } from "./dom.ts";

const COLOURS = 8;
const OF_GUESTS = [0, 4, 5, 6, 7]; // the others are those of the first users

const isGuest = ({ id }: Person) => !/^\d+$/.test(id);

// Everybody has the same colour in all windows.
export function colourOf(person: Person): string {
  const { id } = person;
  if (!isGuest(person)) return `colour-${Number(id) % COLOURS}`;
  let sum = 0;
  for (const letter of id) sum = (sum * 31 + letter.codePointAt(0)!) % 9973;
  return `colour-${OF_GUESTS[sum % OF_GUESTS.length]} guest`;
}

// A guest's flag is striped, and says an animal; the word "Guest" is for screen readers.
const shorten = (person: Person) => (isGuest(person) ? person.name.replace("Guest ", "") : person.name);

export class People {
  members: Person[] = [];
  private flags = new Map<string, HTMLLIElement>();

  // Show who is here; return who has come and who has gone since last time.
  show(members: Person[], me: Person): { come: Person[]; left: Person[] } {
    const sorted = [...members].sort(
      (a, b) => Number(b.id === me.id) - Number(a.id === me.id) || a.name.localeCompare(b.name),
    );
    const come = sorted.filter(({ id }) => !this.members.some((member) => member.id === id));
    const left = this.members.filter(({ id }) => !sorted.some((member) => member.id === id));
    this.members = sorted;
    this.flags = new Map(sorted.map((member) => [member.id, this.flags.get(member.id) ?? makeFlag(member)]));
    for (const member of sorted) {
      const flag = this.flags.get(member.id)!;
      flag.classList.toggle("mine", member.id === me.id);
      find(".name", flag).textContent = shorten(member) + (member.id === me.id ? " (you)" : "");
    }
    const list = find("#people");
    const flags = [...this.flags.values()];
    for (const flag of [...list.children]) if (!flags.includes(flag as HTMLLIElement)) flag.remove();
    keepInOrder(list, flags);
    find("#present").textContent = sorted.length === 1 ? "Only you are here" : `${sorted.length} are here`;
    return { come, left };
  }
}

function makeFlag(member: Person): HTMLLIElement {
  const letters = shorten(member).slice(0, isGuest(member) ? 2 : 1);
  return make(
    "li",
    { className: `flag ${colourOf(member)}`, title: member.name },
    make("span", { className: "cloth", ariaHidden: "true" }, letters),
    make("span", { className: "name" }),
  );
}

// Fill the menu in which a window becomes somebody else, or another window is opened for it.
export function showIdentities(people: User[], me: Person, become: (user: string) => void): void {
  const rows = [...people, { id: "", user: "", name: "A new guest" }].map((person) => {
    const button = makeChoice(person, become);
    if (person.id === me.id) button.ariaCurrent = "true";
    const ariaLabel = `${person.name}, in a new window`;
    return make("li", {}, button, makeWindowLink(person, "new window", { ariaLabel }));
  });
  find("#identities").replaceChildren(...rows);
}

// Make a button with which this window becomes somebody.
export function makeChoice(person: User, become: (user: string) => void): HTMLButtonElement {
  const className = person.id && colourOf(person);
  const dot = make("span", { className: "dot", ariaHidden: "true" });
  const button = make("button", { type: "button", className }, dot, person.name);
  button.addEventListener("click", () => become(person.user));
  return button;
}

export const makeWindowLink = ({ user }: User, text: string, properties = {}): HTMLAnchorElement =>
  make("a", { href: `?as=${user}`, target: "_blank", rel: "noopener", ...properties }, text);
