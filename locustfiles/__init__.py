"""Load from outside, as customers' front ends make it. HTTP only: nothing of the application is imported.

    manage.py seed_load --keys keys.jsonl
    LOAD_KEYS=keys.jsonl python -m locust -f locustfiles/front_end.py --headless --host URL

`manage.py loadtest` does both, and judges more. Environment:

    LOAD_KEYS      {"org", "tier", "key"} a line: who may be spoken for
    LOAD_STAGES    users:seconds of each stage; 50:60,100:60,200:60
    LOAD_RESULT    where to write what was measured, as JSON
"""
