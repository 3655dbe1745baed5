import type { Channels as Declared } from "./realtime";

declare module "realtime-drf" {
  interface Channels extends Declared {}
}
