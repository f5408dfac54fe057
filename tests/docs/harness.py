import asyncio

from scrubjay import CacheService, cached


class Database:
    def load_user(self, number):
        return {"id": number}


db = Database()


async def load_user():
    return db.load_user(7)


SNIPPETS


async def main():
CALLS

asyncio.run(main())
