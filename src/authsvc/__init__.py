"""authsvc: register, log in, and JSON Web Tokens that your services verify.

The house, top floor first; a floor imports only the floors below it (`make check` holds it):

    __main__     the command line: the only reader of os.environ and argv
    commands/    what the larger commands say: users, journal, sweep
    dev operations server                  what its commands do: a database, users, two ports
    app          the composition: Config in, web.Application out
    measures                               what is measured, in one list
    web/         HTTP: doors (JSON and form side by side), guard, problems, pages
    middleware   the guard for other services, against our published keys
    import_files                           reading a file of users
    flows/       what the service does for somebody: no HTTP and no SQL in it
    session_tokens reauthentication password_checks        what several flows do the same way
    key_rotation limits                    the next key set; how often something may be tried
    store/ passwords breached_passwords signing metrics       one door to each outside thing
    key_sets hash_queue                    the keys that sign and verify: the other half of the door to python-jose;
                                           the threads that hash
    clock entropy addresses emails password_policy events refusals config limit_settings password_settings
    logs resources machine strict_json embedded installations runtime tallies    words
"""
