// As `manage.py realtime_contract --format typescript` writes it.

export interface Todo {
  id: number;
  title: string;
  done: boolean;
  position: number;
}

export interface StaffTodo extends Todo {
  note: string;
}

export interface Channels {
  "private-staff": { "todo.update": StaffTodo; "import.finished": { rows: number } };
  [name: `private-lists.${number}`]: {
    "todo.create": Todo;
    "todo.delete": { id: number };
    "todo.refresh": { [key: string]: never };
    "todo.update": Todo;
  };
  [name: `private-teams.${string}`]: { [event: string]: unknown };
  [name: `private-users.${string}`]: { "todo.create"?: Todo; "todo.update"?: Todo };
}

export interface LivePusher {
  readonly connection: {
    readonly socket_id: string;
    readonly state: string;
    bind(event: string, callback: (data: any) => void): unknown;
    unbind(event?: string, callback?: (data: any) => void): unknown;
  };
  channel<Name extends string>(name: Name): { readonly name: Name } | undefined;
  subscribe<Name extends string>(name: Name): { readonly name: Name };
  unsubscribe(name: string): void;
}
