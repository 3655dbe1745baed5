/** The types that `manage.py realtime_contract` writes; without them, channels and models are any. */

import type { Answer } from "./answers.js";

/**
 * The events of each channel, once a project extends it:
 * `declare module "realtime-drf" { interface Channels extends Declared {} }`.
 */
export interface Channels {}

/** The models whose rows a channel has. */
export type ModelOf<C extends keyof Channels> = keyof Channels[C] extends infer E
  ? E extends `${infer M}.${"create" | "update"}`
    ? M
    : never
  : never;

/** The rows of a model, as a channel has them. */
export type RowOf<C extends keyof Channels, M extends string> = Channels[C] extends infer E
  ? `${M}.update` extends keyof E
    ? Exclude<E[`${M}.update`], undefined>
    : `${M}.create` extends keyof E
      ? Exclude<E[`${M}.create`], undefined>
      : never
  : never;

/** What a fetch returns, or a list of the contract's rows if it does not say. */
export type Known<A, T> = 0 extends 1 & A ? T[] : unknown extends A ? T[] : A;

/** A channel of which the contract does not say what it has. */
export type Undeclared<C extends string> = C extends keyof Channels
  ? string extends keyof Channels[C]
    ? C
    : never
  : C;

/** A type that is inferred from elsewhere. */
export type Fixed<T> = [T][T extends unknown ? 0 : never];

export type AnswerOf<C extends keyof Channels, M extends string> = Answer<RowOf<C, M>>;
