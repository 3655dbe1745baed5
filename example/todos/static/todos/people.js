// Who is here: a flag of the bunting for each, and who this window may be.

const COLOURS = 8;
const OF_GUESTS = [0, 4, 5, 6, 7]; // the others are those of the first users

// Everybody has the same colour in all windows.
export function colourOf(id) {
  if (!isGuest(id)) return Number(id) % COLOURS;
  let sum = 0;
  for (const letter of id) sum = (sum * 31 + letter.codePointAt(0)) % 9973;
  return OF_GUESTS[sum % OF_GUESTS.length];
}

function isGuest(id) {
  return !/^\d+$/.test(id);
}

// A guest's flag is striped, and says an animal; the word "Guest" is for screen readers.
function shorten({ id, name }) {
  return isGuest(id) ? name.replace("Guest ", "") : name;
}

export class People {
  constructor() {
    this.list = document.getElementById("people");
    this.heading = document.getElementById("present");
    this.members = [];
  }

  // Show who is here; return who has come and who has gone since last time.
  show(members, me) {
    const sorted = [...members].sort(
      (a, b) => (b.id === me.id) - (a.id === me.id) || a.name.localeCompare(b.name),
    );
    const come = sorted.filter(({ id }) => !this.members.some((member) => member.id === id));
    const left = this.members.filter(({ id }) => !sorted.some((member) => member.id === id));
    this.members = sorted;
    for (const { id } of left) this.find(id)?.remove();
    let last = null;
    for (const member of sorted) {
      const item = this.find(member.id) ?? makeFlag(member);
      item.classList.toggle("mine", member.id === me.id);
      item.querySelector(".name").textContent =
        shorten(member) + (member.id === me.id ? " (you)" : "");
      if (last ? last.nextSibling !== item : this.list.firstChild !== item) {
        this.list.insertBefore(item, last ? last.nextSibling : this.list.firstChild);
      }
      last = item;
    }
    this.heading.textContent = sorted.length === 1 ? "Only you are here" : `${sorted.length} are here`;
    return { come, left };
  }

  find(id) {
    return [...this.list.children].find((item) => item.dataset.id === id);
  }
}

function makeFlag(member) {
  const item = document.createElement("li");
  item.dataset.id = member.id;
  item.className = `flag colour-${colourOf(member.id)}${isGuest(member.id) ? " guest" : ""}`;
  const cloth = document.createElement("span");
  cloth.className = "cloth";
  cloth.ariaHidden = "true";
  cloth.textContent = shorten(member).slice(0, isGuest(member.id) ? 2 : 1);
  const name = document.createElement("span");
  name.className = "name";
  item.append(cloth, name);
  item.title = member.name;
  return item;
}

// Fill the menu in which a window becomes somebody else, or another window is opened for it.
export function showIdentities(people, me, become) {
  const rows = [...people, { id: null, user: "", name: "A new guest" }];
  document.getElementById("identities").replaceChildren(
    ...rows.map((person) => {
      const item = document.createElement("li");
      const button = makeChoice(person, become);
      if (person.id === me.id) button.ariaCurrent = "true";
      item.append(button, makeWindowLink(person));
      return item;
    }),
  );
}

// Make a button with which this window becomes somebody.
export function makeChoice({ id, user, name }, become) {
  const button = document.createElement("button");
  button.type = "button";
  if (id) button.className = `colour-${colourOf(id)}`;
  const dot = document.createElement("span");
  dot.className = "dot";
  dot.ariaHidden = "true";
  button.append(dot, name);
  button.addEventListener("click", () => become(user || null));
  return button;
}

function makeWindowLink({ user, name }) {
  const link = document.createElement("a");
  link.href = `?as=${user}`;
  link.target = "_blank";
  link.rel = "noopener";
  link.textContent = "new window";
  link.ariaLabel = `${name}, in a new window`;
  return link;
}
