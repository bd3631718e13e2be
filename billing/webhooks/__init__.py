"""Events of Stripe: stored first (`intake`), then applied in one transaction (`apply`).

An event only says where to look. The object it names is fetched again (`facts`), so that events
may come twice, late and in any order: the end is always the state that Stripe reports now.
Nothing is locked while Stripe is asked; an answer that is older than one applied meanwhile is
thrown away and fetched again.
"""
