"""Dashboards for Grafana as code: one file each, and the JSON that `make dashboards` writes of it beside this.

Alerts link to `UID/PANEL`, where PANEL is the panel's title as `links.slug` spells it: titles are a contract.
"""
