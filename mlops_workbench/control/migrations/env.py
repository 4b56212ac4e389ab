"""Alembic environment: migrates over the connection in the configuration."""

from alembic import context

from mlops_workbench.control.tables import Base

context.configure(
    connection=context.config.attributes["connection"], target_metadata=Base.metadata, render_as_batch=True
)
with context.begin_transaction():
    context.run_migrations()
