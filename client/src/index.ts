export type { Answer, Page, Pages, RowIn, Rules } from "./answers.js";
export type { AnyClient, Client, Listener, Member, PusherLike, Status } from "./clients.js";
export type { Channels, ModelOf, RowOf } from "./contract.js";
export { live, type Live, type LiveOptions } from "./live.js";
export type { TrackOptions } from "./tracking.js";
