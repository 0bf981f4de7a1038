"""The admin listener: API, roles, problem documents, dashboard. Sees control through `service.Service` only."""
