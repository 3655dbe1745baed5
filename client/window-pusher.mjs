// pusher-js of another script, which may be loaded after this one.

export default function Pusher(...args) {
  return new window.Pusher(...args);
}
