"""Load from outside, as customers' front ends make it. Over HTTP alone, without imports of the application.

    manage.py seed_load --keys keys.jsonl
    LOAD_KEYS=keys.jsonl python -m locust -f locustfiles/front_end.py --headless --host URL

`manage.py loadtest` does both, and checks more thresholds. Environment:

    LOAD_KEYS      file of the accounts to use, one {"org", "tier", "key"} a line
    LOAD_STAGES    users:seconds of each stage; 50:60,100:60,200:60
    LOAD_RESULT    file to write the result to, as JSON
"""
