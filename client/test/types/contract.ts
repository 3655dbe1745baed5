// As `manage.py realtime_contract` declares the channels of a project.

export interface Todo {
  id: number;
  title: string;
  done: boolean;
  position: number;
}

export interface StaffTodo extends Todo {
  note: string;
}

declare module "realtime-drf" {
  interface Channels {
    [list: `private-lists.${number}`]: { "todo.create": Todo; "todo.update": Todo; "todo.delete": { id: number } };
    "private-staff": { "todo.update": StaffTodo; "import.finished": { rows: number } };
  }
}
