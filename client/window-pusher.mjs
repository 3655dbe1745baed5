// pusher-js of another script.

export default window.Pusher;
