"""Where attempts at stages run: the interface of executors, resources, and the executor of this machine."""
