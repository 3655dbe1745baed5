/** What an event makes of the answer of an endpoint. Nothing here knows of a connection or a fetch. */

/** A page of DRF's. With CursorPagination it has no count. */
export interface Page<T> {
  count?: number;
  next: string | null;
  previous: string | null;
  results: T[];
}

/** Pages of an infinite list, as TanStack Query keeps them. */
export interface Pages<T> {
  pages: (T[] | Page<T>)[];
  pageParams: unknown[];
}

/** What a list endpoint answers, paginated or not, or a detail endpoint, or several pages. */
export type Answer<T> = T[] | Page<T> | Pages<T> | T;

/** The rows of an answer. */
export type RowIn<A> = A extends { pages: (infer P)[] }
  ? RowIn<P>
  : A extends { results: (infer T)[] }
    ? T
    : A extends (infer T)[]
      ? T
      : A;

export interface RowEvent {
  action: string;
  data: any;
}

export interface Rules<T> {
  /** Whether a row belongs to this list, if it has only some of the channel's rows. */
  matches?: (row: T) => boolean;
  /** The order of the list, as in `Array.sort`. Without it, the list is fetched again for a row that is new or changed. */
  compare?: (a: T, b: T) => number;
  /** The number of rows of a full page. Without it, a paginated list is fetched again for a new row. */
  pageSize?: number;
  /** The backend's `version_field`. An event that is older than the newest received of its row is dropped. */
  version?: keyof T & string;
  /** The primary key, or its columns. The default is "id". */
  key?: (keyof T & string) | readonly (keyof T & string)[];
}

const columns = ({ key = "id" as never }: Rules<any>): string[] => ([] as string[]).concat(key);

/** Return the key of a row as one string. */
export const keyOf = (row: any, rules: Rules<any>): string =>
  columns(rules).map((name) => row[name]).join();

/** Apply an event: return the next answer, and whether only the server knows what it is. */
export function apply<A>(answer: A, event: RowEvent, rules: Rules<any>): [answer: A, ask: boolean];
export function apply(answer: any, event: RowEvent, rules: Rules<any>): [any, boolean] {
  if (event.action === "refresh") return [answer, true];
  if (!Array.isArray(answer) && columns(rules)[0]! in answer) return applyToDetail(answer, event, rules);
  return answer.pages ? applyToPages(answer, event, rules) : applyToPage(answer, event, rules);
}

function applyToDetail(row: any, { action, data }: RowEvent, rules: Rules<any>): [any, boolean] {
  if (keyOf(row, rules) !== keyOf(data, rules) || isOlder(data, row, rules)) return [row, false];
  // What there is in place of a deleted row, the server knows: a 404 perhaps.
  return action === "delete" ? [row, true] : [{ ...row, ...data }, false];
}

function applyToPages(answer: any, event: RowEvent, rules: Rules<any>): [any, boolean] {
  const { pages } = answer;
  // The row's page. One that is on none of several may belong to any, or have been on one not loaded.
  const at = pages.findIndex((page: any) => find(rowsOf(page), event.data, rules) >= 0);
  if (at < 0 && pages.length > 1) return [answer, true];
  const index = Math.max(at, 0);
  const isCut = pages.length > 1 || Array.isArray(pages[index]);
  const [page, ask] = applyToPage(pages[index], event, rules, isCut);
  const next = pages.map((each: any, i: number) => (i === index ? page : each));
  // Pages are fetched one after the other: of two counts, one is from before the change.
  const isTorn = next.some(({ count }: any) => count !== next[0].count);
  return [page === pages[index] ? answer : { ...answer, pages: next }, ask || isTorn];
}

function applyToPage(page: any, { action, data }: RowEvent, rules: Rules<any>, isCut = false): [any, boolean] {
  const { matches, compare, pageSize = 0 } = rules;
  const rows = rowsOf(page);
  const isPaged = rows !== page;
  // On a cut list, rows come from pages that are not here, and go there.
  const before = isCut || (isPaged && page.previous !== null);
  const after = isCut || (isPaged && page.next !== null);
  const cut = before || after;
  const put = (results: any[]) => {
    if (!isPaged) return results;
    const count = page.count + results.length - rows.length;
    return page.count === undefined ? { ...page, results } : { ...page, results, count };
  };
  const at = find(rows, data, rules);
  const known = rows[at];
  if (known && isOlder(data, known, rules)) return [page, false];
  const row = { ...known, ...data };
  const others = rows.filter((each) => each !== known);
  if (action === "delete" || (matches && !matches(row))) return [known ? put(others) : page, cut];
  if (!known) {
    const isPlaced = compare && !cut && !(isPaged && rows.length >= pageSize);
    return isPlaced ? [put(insert(others, row, compare)), false] : [page, true];
  }
  if (!compare || !compare(known, row)) return [put(rows.map((each) => (each === known ? row : each))), !compare];
  const next = insert(others, row, compare);
  const ends = [at, next.indexOf(row)];
  // From an end it may go to another page, or the link to that page may name it.
  return [put(next), (before && ends.includes(0)) || (after && ends.includes(others.length))];
}

const rowsOf = (page: any): any[] => (Array.isArray(page) ? page : page.results);

const find = (rows: any[], data: any, rules: Rules<any>): number =>
  rows.findIndex((row) => keyOf(row, rules) === keyOf(data, rules));

const isOlder = (data: any, known: any, { version }: Rules<any>): boolean =>
  version !== undefined && data[version] < known[version];

function insert(rows: any[], row: any, compare: (a: any, b: any) => number): any[] {
  const at = rows.findIndex((each) => compare(row, each) < 0);
  return at < 0 ? [...rows, row] : [...rows.slice(0, at), row, ...rows.slice(at)];
}
