"""What Alembic runs: on the connection of the caller, inside its transaction, so that a step is done wholly or not at all."""

from alembic import context

from registry_hooks.ledger.tables import VERSION_TABLE

context.configure(connection=context.config.attributes["connection"], version_table=VERSION_TABLE, transactional_ddl=True)
with context.begin_transaction():
    context.run_migrations()
